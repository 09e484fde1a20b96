"""The owner's side alone: its threads, and what they leave."""

from __future__ import annotations

import queue
import threading
from pathlib import Path
from typing import Any

import pytest

from goldthread.keeper.sending import Sendings
from goldthread.names import MemberName
from goldthread.wire.carrying import CarryCommit, CommitCarriedNote, KnowPartner
from tests.keeper.carriers import SECONDS, Life, allow, tie, two_hosts


def test_what_rests_has_no_thread_and_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Members come and go while a bond lasts; one that commits again is carried as before."""
    monkeypatch.setattr("goldthread.keeper.sending._IDLE_SECONDS", 0.01)
    names = [MemberName(f"walk{number}") for number in range(3)]
    with two_hosts(tmp_path) as (owner, holder):
        tie(owner, holder)
        notes: queue.Queue[Any] = queue.Queue()
        sendings = Sendings(owner.keys, lambda note, _: notes.put(note))
        sendings.know(KnowPartner(holder.me, (f"127.0.0.1:{holder.port()}",), 0))
        lives = [Life(owner, 2, member=name) for name in names]
        for name in names:
            allow(holder, owner.me, member=name)
        for life in (*lives, *lives):
            commit = life.commit()
            found = owner.shelf.pin_newest(life.member, life.epoch)
            assert found is not None
            sendings.carry(CarryCommit(holder.me, life.member, found[0]), found[1])
            carried = notes.get(timeout=SECONDS)
            assert isinstance(carried, CommitCarriedNote)
            assert (carried.member, carried.commit) == (life.member, commit)
        for thread in threading.enumerate():
            if thread.name == "goldthread-send":
                thread.join(SECONDS)
        assert "goldthread-send" not in [thread.name for thread in threading.enumerate()]
        sendings.forget(holder.me)
        for life in lives:
            life.close()
