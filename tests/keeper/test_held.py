"""What is held of one member, where two threads of a carrier meet at it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from goldthread.keeper.held import Landing
from goldthread.wire.carrying import CommitCarriedNote
from goldthread.wire.image import read_header
from tests.keeper.carriers import WALK, Life
from tests.keeper.way import TwoCarriers, two_carriers


def brought(carriers: TwoCarriers, life: Life) -> None:
    """Bring a commit, and see it held."""
    commit = life.commit()
    carriers.carry(life)
    assert isinstance(carriers.answer(), CommitCarriedNote)
    assert carriers.held_image(commit) == life.image(commit)


def test_a_slot_that_goes_while_it_is_read_again_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state that grows has larger slots made; the number of a descriptor that was closed is soon another slot's."""
    with two_carriers(tmp_path) as carriers:
        small = carriers.life(2)
        brought(carriers, small)
        held = carriers.holdings.member(carriers.owner, WALK)
        large = carriers.life(30, epoch=2)

        def grow(seconds: float) -> None:
            brought(carriers, large)
            brought(carriers, large)

        monkeypatch.setattr("goldthread.keeper.held.sleep", grow)
        assert held.check(1.0) is None
        monkeypatch.setattr("goldthread.keeper.held.sleep", lambda seconds: None)
        assert held.check(1.0) is None
        assert [place.index for place, _ in held.descriptors()] == [0, 1]
        small.close()
        large.close()


def test_a_slot_that_is_handed_back_while_a_commit_lands_in_it_is_the_same(tmp_path: Path) -> None:
    """A new keeper says again what it holds, since it cannot know what is known: what has landed stays known."""
    with two_carriers(tmp_path) as carriers:
        life = carriers.life(3)
        image = memoryview(life.image(life.commit()))
        header = read_header(image)
        assert header is not None
        held = carriers.holdings.member(carriers.owner, WALK)
        with held.landing(header, image[header.manifest_at :], 0) as landing:
            assert isinstance(landing, Landing)
            ((place, descriptor),) = held.descriptors()
            for index in landing.missing():
                if index == 1:
                    held.take_over(place.index, os.dup(descriptor))
                start, end = header.chunk_range(index)
                landing.make_room(index)[:] = image[start:end]
                assert landing.land(index)
            landing.seal()
        assert held.newest() == (place, header)
        life.close()
