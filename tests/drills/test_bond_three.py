"""Three hosts: whoever holds is lost, then whoever runs; and a holder that ends in order says what goes with it."""

from __future__ import annotations

from pathlib import Path

from hosts import Host, Hosts
from stage import STEPS

from goldthread.report import Guard, MemberReport


def test_holder_lost_then_the_owner(tmp_path: Path) -> None:
    """Another host becomes the holder, and takes the member over with every step that was held there."""
    with Hosts(tmp_path, "iruka", "kakashi", "sakura", partner_grace="1s") as hosts:
        iruka = hosts["iruka"]
        hosts.tie("iruka", "kakashi")
        hosts.tie("iruka", "sakura")
        hosts.hold_at(20)
        iruka.run(STEPS)
        first, second = _by_holder(hosts, iruka.until_guarded(20))
        hosts.kill_host(first.name)
        iruka.until(lambda member: member.holder == second.name and bool(member.vouched), "another holder")
        iruka.until_alarm(f"walk is exposed: {first.name}, which held its copy, is silent: ")
        hosts.hold_at(30)
        iruka.until_held(30)
        hosts.until(lambda: (held := second.held()) is not None and held.guard is Guard.LEASE, "its lease is known")
        second.until_holder("iruka")
        hosts.kill_host("iruka")
        second.until_step(30, 2)
        hosts.ends_well(second, STEPS)
        second.blames("iruka")
        assert next(line.step for line in hosts.ledger() if line.epoch == 2) == 30


def test_keeper_of_the_holder_ends_in_order(pair: Hosts) -> None:
    """It says what goes with it; the owner says so too, and sends all of it to the keeper that begins then."""
    iruka, kakashi = pair["iruka"], pair["kakashi"]
    pair.hold_at(20)
    iruka.run(STEPS)
    iruka.until_guarded(20)
    kakashi.until_holder("iruka")
    assert "walk of iruka" in kakashi.cli("keeper", "stop")
    iruka.until(lambda member: member.exposed != "", "exposed")
    iruka.until_alarm("kakashi, which held its copy, is silent: ")
    kakashi.start_keeper()
    iruka.until_held(20)
    kakashi.until_holder("iruka")
    pair.kill_host("iruka")
    kakashi.until_step(20, 2)
    pair.ends_well(kakashi, STEPS)
    kakashi.blames("iruka")


def _by_holder(hosts: Hosts, walk: MemberReport) -> tuple[Host, Host]:
    """The walk's holder, and the other partner of its owner."""
    other = {"kakashi": "sakura", "sakura": "kakashi"}[walk.holder]
    return hosts[walk.holder], hosts[other]
