"""A transfer goes on where it was, at whichever byte and in whichever manner its way fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from goldthread.slots.layout import CHUNK_BYTES
from goldthread.wire.carrying import CommitCarriedNote
from goldthread.wire.stream import BURST_BYTES
from tests.keeper.way import Fault, two_carriers

CHUNKS = 4
TALK = 24 << 10
"""More than what is said beside the payload, with the second connection."""
STRIDE = 397
"""Bytes: it meets the proof of the keys, greeting, offer and answer each, on either side and in the midst of it."""
TALK_ENDS = 4000
LAST = 24
"""Bytes before the end: within the last record, also where signatures are shorter than they were."""
SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)


def places(whole: int) -> list[int]:
    """Where to fail on a way on which so many bytes go."""
    talk = range(1, min(TALK_ENDS, whole), STRIDE)
    return sorted({*talk, 5, *(round(share * whole) for share in SHARES), whole - LAST})


@pytest.mark.parametrize("how", ["end", "half", "reset"])
def test_a_transfer_goes_on_wherever_its_way_ends(how: str, tmp_path: Path) -> None:
    """There and back. No more than the chunk under way goes twice, unless what had arrived is thrown away."""
    with two_carriers(tmp_path) as carriers:
        life = carriers.life(CHUNKS)
        life.commit()
        carriers.carry(life)
        assert isinstance(carriers.answer(), CommitCarriedNote)
        for back, whole in enumerate(list(carriers.way.passed)):
            for at in places(whole):
                carriers.dial_anew()
                commit, before, met = life.commit(), carriers.way.passed[0], carriers.way.met
                carriers.way.faults.append(Fault(bool(back), at, how))
                carriers.carry(life)
                carried = carriers.answer()
                assert isinstance(carried, CommitCarriedNote), (back, at, carried)
                assert carriers.held_image(commit) == life.image(commit)
                assert carriers.way.met == met + 1
                if how != "reset":
                    assert carriers.way.passed[0] - before <= (CHUNKS + 1) * CHUNK_BYTES + TALK, (back, at)
        life.close()


@pytest.mark.parametrize(("back", "share"), [(False, 0.0001), (False, 0.5), (True, 0.2), (True, 0.99)])
def test_a_transfer_goes_on_where_its_way_is_silent(
    back: bool, share: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody says that nothing passes any more; the holder's end still waits for more when the next one comes."""
    with two_carriers(tmp_path) as carriers:
        life = carriers.life(CHUNKS)
        life.commit()
        carriers.carry(life)
        assert isinstance(carriers.answer(), CommitCarriedNote)
        carriers.dial_anew()
        monkeypatch.setattr("goldthread.keeper.pipe._PATIENCE_SECONDS", 1.0)
        monkeypatch.setattr("goldthread.keeper.sending._FUTILE_MOST", 1000)
        commit, whole = life.commit(), list(carriers.way.passed)
        carriers.way.faults.append(Fault(back, max(1, round(share * whole[back])), "stall"))
        carriers.carry(life)
        assert isinstance(carriers.answer(), CommitCarriedNote)
        assert carriers.held_image(commit) == life.image(commit)
        assert carriers.way.met == 1
        life.close()


@pytest.mark.parametrize("chunks", [1, 40])
def test_keys_that_have_carried_enough_are_renewed(
    chunks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two commits, and in the midst of a large one, which goes on as after a cut."""
    monkeypatch.setattr("goldthread.keeper.sending._KEYS_BYTES_MOST", CHUNK_BYTES)
    monkeypatch.setattr("goldthread.keeper.sending._FUTILE_MOST", 1000)
    with two_carriers(tmp_path) as carriers:
        life = carriers.life(chunks)
        for _ in range(3):
            commit = life.commit()
            carriers.carry(life)
            assert isinstance(carriers.answer(), CommitCarriedNote)
            assert carriers.held_image(commit) == life.image(commit)
        assert carriers.way.calls >= 3 * -(-chunks * CHUNK_BYTES // BURST_BYTES)
        life.close()
