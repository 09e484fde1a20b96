"""Two hosts, and one life at a time: whoever sleeps, and wakes after a takeover, writes nothing any more."""

from __future__ import annotations

import os
import signal

from hosts import CARRIER, KEEPER, SHIM, Hosts
from stage import wait_gone

from goldthread.names import MemberName
from goldthread.report import Contact, Phase

STEPS = 200
PACE = "0.02"


def test_keeper_that_sleeps_longer_than_its_lease(pair: Hosts) -> None:
    """Its program waits by itself when the voucher is over, though nobody is there to stop it. The keeper wakes to a
    newer life elsewhere, ends its own, and becomes the holder."""
    iruka, kakashi = pair["iruka"], pair["kakashi"]
    pair.hold_at(STEPS - 10)
    iruka.run(STEPS, pause=PACE)
    iruka.until_guarded(10)
    iruka.freeze_keeper()
    kakashi.until_step(1, 2)
    iruka.signal_keeper(signal.SIGCONT)
    iruka.until_holder("kakashi")
    pair.ends_well(kakashi, STEPS)
    told = iruka.why()["lives"][0]["ending"]
    assert told["kind"] == "fenced" and "life 2 of walk is kakashi's" in told["text"]
    kakashi.blames("iruka")


def test_keeper_that_sleeps_less_than_its_lease(patient: Hosts) -> None:
    """A pause is no death: nobody takes anything over."""
    iruka, kakashi = patient["iruka"], patient["kakashi"]
    patient.hold_at(10)
    iruka.run(STEPS)
    iruka.until_guarded(10)
    iruka.freeze_keeper()
    patient.until_ledger(patient.walk_on(5))
    kakashi.until_contact("iruka", Contact.SILENT)
    iruka.signal_keeper(signal.SIGCONT)
    iruka.until_held(patient.walk_on())
    patient.ends_well(iruka, STEPS)
    assert iruka.causes() == ["finished"]
    assert {line.epoch for line in patient.ledger()} == {1} and kakashi.member() is None


def test_program_that_wakes_after_the_takeover(pair: Hosts) -> None:
    """All that was beside it is dead. It finds that its voucher is over, and the keeper that it starts ends it."""
    iruka, kakashi = pair["iruka"], pair["kakashi"]
    pair.hold_at(20)
    iruka.run(STEPS, pause=PACE)
    iruka.until_guarded(20)
    pid = iruka.walk_pid()
    os.kill(pid, signal.SIGSTOP)
    iruka.kill(SHIM, KEEPER, CARRIER)
    pair.let_go()
    kakashi.until_step(21, 2)
    gone = os.pidfd_open(pid)
    os.kill(pid, signal.SIGCONT)
    wait_gone(gone)
    iruka.until_holder("kakashi")
    pair.ends_well(kakashi, STEPS)
    kakashi.blames("iruka")
    assert iruka.why()["lives"][0]["ending"]["kind"] == "fenced"


def test_both_hosts_out_of_each_others_reach_and_that_of_the_lease_store(pair: Hosts) -> None:
    """Nobody vouches: the life is stopped within its lease, and goes on when the link is back, as the same life."""
    iruka, kakashi = pair["iruka"], pair["kakashi"]
    pair.hold_at(10)
    iruka.run(STEPS)
    iruka.until_guarded(10)
    pair.lose_leases()
    pair.cut("iruka", "kakashi")
    iruka.until(lambda member: member.vouched == 0, "nobody vouches")
    kakashi.until_contact("iruka", Contact.SILENT)
    pair.mend("iruka", "kakashi")
    iruka.until_held(pair.walk_on(10))
    pair.ends_well(iruka, STEPS)
    assert iruka.causes() == ["finished"]
    assert {line.epoch for line in pair.ledger()} == {1}


def test_each_takes_over_what_the_other_ran(pair: Hosts) -> None:
    """Keepers that sleep by turns: two members change places, and each lives once."""
    iruka, kakashi = pair["iruka"], pair["kakashi"]
    walk, stroll = MemberName("walk"), MemberName("stroll")
    pair.hold_at(20, walk)
    pair.hold_at(20, stroll)
    iruka.run(STEPS)
    kakashi.run(STEPS, name=stroll)
    iruka.until_guarded(20)
    kakashi.until_guarded(20, stroll)
    iruka.freeze_keeper()
    kakashi.until_step(20, 2)
    kakashi.freeze_keeper()
    iruka.signal_keeper(signal.SIGCONT)
    iruka.until(lambda member: member.epoch == 2 and member.phase is Phase.RUNNING, "taken over", stroll)
    kakashi.signal_keeper(signal.SIGCONT)
    for host, name in ((kakashi, walk), (iruka, stroll)):
        host.until(lambda member: member.held is not None, "held by the other", name)
        pair.ends_well(host, STEPS, name=name)
    kakashi.blames("iruka", walk)
    iruka.blames("kakashi", stroll)
    assert (iruka.causes(walk)[0], kakashi.causes(stroll)[0]) == ("fenced", "fenced")
