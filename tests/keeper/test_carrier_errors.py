"""An error that nobody thought of, in whichever thread of a carrier."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
from pathlib import Path

from goldthread.local import Home
from goldthread.rules.bond_events import CommitHeld
from goldthread.wire.carrying import CarryCommit
from tests.keeper.carriers import SECONDS, WALK, Life, held_image, replicate, tie, two_hosts

BROKEN = """
from goldthread.keeper import carrier
carrier.Guests.come = lambda guests, stream: {}["nobody thought of it"]
carrier.Carrier._seek_keeper = lambda alone: print(alone._door.getsockname()[1], flush=True)
carrier.main([{home!r}, "127.0.0.1", "0", "1000000000000", "1"])
"""


def test_an_error_in_a_thread_ends_the_carrier(tmp_path: Path) -> None:
    """Without that thread it would be here for good, and what the thread was for would not be done."""
    home = Home(tmp_path / "iruka")
    home.make()
    code = BROKEN.replace("{home!r}", repr(str(home.path)))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as carrier:
        try:
            assert carrier.stdout is not None
            port = int(carrier.stdout.readline())
            with socket.create_connection(("127.0.0.1", port)):
                assert carrier.wait(SECONDS) == 1
        finally:
            carrier.kill()
    assert "CRITICAL the carrier met what must not be, and stops" in home.log.read_text()
    assert home.log.read_text().endswith("KeyError: 'nobody thought of it'\n")


def test_a_carrier_that_stopped_is_started_again_and_that_is_said(tmp_path: Path) -> None:
    """One was ordered to bring nothing. Its story is where the keeper's log is, also since that was renamed. What
    happens again is said once."""
    with two_hosts(tmp_path) as (owner, holder):
        tie(owner, holder)
        life = Life(owner, 2)
        commit = life.commit()
        owner.home.log.write_text("older\n")
        owner.home.log.rename(owner.home.log.with_suffix(".1"))
        for times in (1, 2):
            pidfd = os.pidfd_open(owner.carrier())
            owner.do(lambda: owner.carriage._say(CarryCommit(holder.me, WALK, commit)))
            assert select.select([pidfd], [], [], SECONDS)[0] == [pidfd]
            os.close(pidfd)
            assert owner.home.log.read_text().count("the carrier met what must not be") == times
            while owner.do(lambda: owner.carriage.port):
                threading.Event().wait(0.001)
        assert "_hear_keeper" in owner.home.log.read_text()
        while not isinstance(answer := replicate(owner, holder.me, commit), CommitHeld):
            owner.port()
        assert answer.commit == commit
        assert held_image(holder, owner.me, commit) == life.image(commit)
        assert owner.warned == ["the carrier stopped with status 1, and keeper.log says why; it is started again"]
        life.close()
