"""Work that is shared with a second thread: all of it is done once, and nothing runs on when it fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from goldthread.slots.copying import Crew

COUNT = 1000


@pytest.fixture
def crew() -> Iterator[Crew]:
    made = Crew()
    yield made
    made.close()


def helpers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "goldthread-copy"}


def test_all_is_done_once_by_two_threads(crew: Crew) -> None:
    """Each waits in its first piece until the other has one too."""
    both = threading.Barrier(2)
    workers: set[int] = set()
    done: list[int] = []

    def work(start: int, end: int) -> None:
        if threading.get_ident() not in workers:
            workers.add(threading.get_ident())
            both.wait()
        done.extend(range(start, end))

    crew.do(COUNT, work, alone=False)
    assert list(range(COUNT)) == sorted(done)
    assert len(workers) == 2


@pytest.mark.parametrize("closed", [True, False])
def test_one_helper_stays_as_long_as_the_crew(closed: bool) -> None:
    """It is started once, and goes when the crew is closed or nobody has it any more."""
    before = helpers()
    crew = Crew()
    for _ in range(3):
        crew.do(COUNT, lambda start, end: None, alone=False)
    (helper,) = helpers() - before
    if closed:
        crew.close()
    del crew
    helper.join(60)
    assert not helper.is_alive()


def test_little_work_needs_no_helper(crew: Crew) -> None:
    before = helpers()
    crew.do(COUNT, lambda start, end: None, alone=True)
    assert helpers() <= before


@pytest.mark.parametrize("fails", ["own", "helper"])
def test_what_either_thread_raises_is_raised(crew: Crew, fails: str) -> None:
    """Also where the one that fails is not the one that called; the crew then does other work as before."""
    both = threading.Barrier(2)
    own = threading.get_ident()
    workers: set[int] = set()
    ranges: list[tuple[int, int]] = []

    def work(start: int, end: int) -> None:
        if threading.get_ident() not in workers:
            workers.add(threading.get_ident())
            both.wait()
        if (threading.get_ident() == own) == (fails == "own"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crew.do(COUNT, work, alone=False)
    crew.do(COUNT, lambda start, end: ranges.append((start, end)), alone=False)
    assert sum(end - start for start, end in ranges) == COUNT
