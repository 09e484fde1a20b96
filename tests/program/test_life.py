"""A life under a real keeper: what it may do while nobody vouches for it, and what it is told of its holder."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from mmap import mmap
from typing import Any

import numpy as np
import pytest

import goldthread
from goldthread.clock import now
from goldthread.errors import PartnerUnreachable, UsageError
from goldthread.keeper.ward import Ward
from goldthread.local import Home, reach_keeper
from goldthread.names import MemberName, Step
from goldthread.program.life import Life
from goldthread.wire.messages import ReportRequest
from goldthread.wire.pulse import PULSE_BYTES, read_pulse


@pytest.fixture
def life(home: Home) -> Iterator[Life]:
    with goldthread.join("walk", generators=False) as joined:
        joined.restore({"step": 0})
        yield joined


@pytest.fixture
def page(life: Life) -> Iterator[Ward]:
    """The keeper's hand on the pulse of the life."""
    ward = Ward(MemberName("walk"))
    ward.hold_pulse(os.dup(life._heart.descriptor))
    yield ward
    ward.vouch(None)
    ward.close()


def beats_of(life: Life) -> int:
    with mmap(life._heart.descriptor, PULSE_BYTES) as opened, memoryview(opened) as words:
        return read_pulse(words).beats


def test_without_a_bond_nothing_is_held_and_nothing_waits(life: Life) -> None:
    life.commit({"step": 1})
    life.beat()
    assert life.safe == goldthread.Safe(sealed=Step(1), held=None, deposited=None, unsealed=0)


def test_what_was_safe_is_known_when_the_life_is_over(home: Home) -> None:
    """The last line of many a program prints it."""
    with goldthread.join("walk", generators=False) as life:
        life.restore({"step": 0})
        life.commit({"step": 7}, wait="deposited")
    assert life.safe == goldthread.Safe(sealed=Step(7), held=None, deposited=Step(7), unsealed=0)


def test_a_fork_that_asks_what_is_safe_is_refused_and_lives(life: Life) -> None:
    life.commit({"step": 1})
    child = os.fork()
    if child == 0:
        try:
            _ = life.safe
        except UsageError:
            os._exit(3)
        os._exit(4)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3


def test_a_name_that_is_no_text_is_refused(home: Home) -> None:
    with pytest.raises(UsageError, match="5 cannot name a member"):
        goldthread.join(5)  # type: ignore[arg-type]


def test_a_word_for_sparse_is_refused(home: Home) -> None:
    """Any would count as true, and have commits miss what a device writes."""
    with pytest.raises(UsageError, match="sparse='no' is no answer"):
        goldthread.join("walk", sparse="no")  # type: ignore[arg-type]


def test_a_step_may_be_an_integer_of_numpy(life: Life) -> None:
    """It comes out of any sum of an array; another count would be told in its place."""
    life.commit({"step": np.int64(41)})
    assert life.safe.sealed == 41
    life.commit({}, step=np.int32(42))  # type: ignore[arg-type]
    assert life.safe.sealed == 42


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [({"step": 1 << 63}, "is too large"), ({"step": -1}, "below 0"), ({"timeout": -1.0}, "no time to wait"),
     ({"timeout": float("nan")}, "no time to wait")],
)  # fmt: skip
def test_numbers_that_make_no_sense_are_refused(life: Life, arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as refused:
        life.commit({}, wait="deposited", **arguments)
    assert refused.value.hint
    life.commit({"step": 1})


def test_waiting_for_a_holder_that_is_not_there_is_refused_with_a_hint(life: Life) -> None:
    """The commit is sealed all the same, and the program may go on."""
    with pytest.raises(PartnerUnreachable) as refused:
        life.commit({"step": 1}, wait="held")
    assert "no holder" in str(refused.value)
    assert "goldthread bond invite" in refused.value.hint
    assert life.safe.sealed == 1
    life.commit({"step": 2}, wait="deposited")
    assert life.safe.deposited == 2


def test_what_cannot_be_waited_for_is_refused(life: Life) -> None:
    with pytest.raises(UsageError, match="not a level"):
        life.commit({"step": 1}, wait="kept")  # type: ignore[arg-type]
    assert life.safe.sealed is None


def test_the_keeper_takes_back_that_something_is_held(life: Life, page: Ward) -> None:
    """What its holder has is said as long as there is one: `safe` promises nothing that is not there."""
    life.commit({"step": 4})
    page.say_held(Step(3))
    with reach_keeper(Home.default(), "command") as channel:
        channel.ask(ReportRequest())  # It looks at every pulse first.
    assert (life.safe.sealed, life.safe.held) == (4, None)


@pytest.mark.parametrize("act", ["commit", "beat"])
def test_a_life_that_nobody_vouches_for_waits(life: Life, page: Ward, act: str) -> None:
    """It neither beats nor seals, and goes on when it is vouched for again."""
    life.commit({"step": 1})
    beats = beats_of(life)
    waits, look = threading.Event(), life._link.look

    def see() -> None:
        look()
        if threading.current_thread() is acting and not life._voucher.stands:
            waits.set()

    acting = threading.Thread(target=lambda: life.beat() if act == "beat" else life.commit({"step": 2}))
    life._link.look = see  # type: ignore[method-assign]
    page.vouch(now())
    acting.start()
    assert waits.wait(60)
    assert (life.safe.sealed, beats_of(life)) == (1, beats)
    page.vouch(None)
    acting.join()
    assert (life.safe.sealed, beats_of(life)) == (1 if act == "beat" else 2, beats + 1)


def test_an_answer_that_comes_too_late_leaves_the_life_as_it_was(life: Life) -> None:
    """It is sealed, and the next question gets its own answer: the late one is for nobody."""
    with pytest.raises(goldthread.KeeperError, match="is sealed, and was not deposited within 0 s"):
        life.commit({"step": 1}, wait="deposited", timeout=0)
    life.commit({"step": 2}, wait="deposited")
    assert (life.safe.sealed, life.safe.deposited, life.keepers_lost) == (2, 2, 1)
