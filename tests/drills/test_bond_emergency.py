"""At the bedside: a member that no partner holds, and keepers that were bonded before and are willing."""

from __future__ import annotations

from pathlib import Path

from hosts import Hosts
from stage import STEPS

from goldthread.report import Phase

WILLING = ("--emergency", "yes")
UNWILLING = ("--emergency", "no")


def test_member_in_limbo_is_brought_back_by_the_best_of_the_willing(tmp_path: Path) -> None:
    """By the terms that they published. What was done is shown on both sides, until one confirms it and one ends it."""
    with Hosts(tmp_path, "iruka", "kakashi", "sakura", "tsunade") as hosts:
        iruka, tsunade = hosts["iruka"], hosts["tsunade"]
        part(hosts, "kakashi", (*WILLING, "--memory", "64MiB"))
        part(hosts, "sakura", (*UNWILLING, "--memory", "1GiB"))
        part(hosts, "tsunade", (*WILLING, "--memory", "128MiB"))
        iruka.run(STEPS, "raise", options=("--restarts", "1"), step="20", lives="1,2")
        tsunade.until(lambda member: member.epoch == 3, "life 3")
        iruka.until(lambda member: member.phase is Phase.AWAY, "away")
        for one, other in ((iruka, "tsunade"), (tsunade, "iruka")):
            told = one.cli("bond", "list")
            assert f"{other} was bonded with nobody asked: " in told and "limbo" in told
            assert f"an emergency bond with {other} is tied" in one.alarms()
        assert "sakura answers no emergencies" in iruka.alarms()
        assert hosts["kakashi"].member() is None and hosts["sakura"].member() is None
        tsunade.cli("bond", "confirm", "iruka")
        assert "nobody asked" not in tsunade.cli("bond", "list")
        hosts.ends_well(tsunade, STEPS)
        assert iruka.causes() == ["exception", "exception"]
        assert tsunade.causes() == ["handed over", "finished"]
        assert next(line.step for line in hosts.ledger() if line.epoch == 3) == 19
        iruka.cli("bond", "end", "tsunade", "--yes")
        until_over(hosts, "tsunade", "iruka")


def test_member_whose_holder_is_lost_is_held_by_one_of_the_willing(tmp_path: Path) -> None:
    """No other partner is left, so a keeper that was bonded before holds the copy, and takes over when it must."""
    with Hosts(tmp_path, "iruka", "kakashi", "sakura", partner_grace="1s") as hosts:
        iruka, sakura = hosts["iruka"], hosts["sakura"]
        part(hosts, "sakura", WILLING)
        hosts.tie("iruka", "kakashi")
        hosts.hold_at(20)
        iruka.run(STEPS)
        iruka.until_guarded(20)
        hosts.kill_host("kakashi")
        iruka.until(lambda member: member.holder == "sakura" and bool(member.vouched), "another holder")
        iruka.until_held(20)
        sakura.until_holder("iruka")
        assert "kakashi held walk, and is silent" in iruka.cli("bond", "list")
        assert "walk, which has lost its holder" in sakura.cli("bond", "list")
        hosts.kill_host("iruka")
        sakura.until_step(20, 2)
        hosts.ends_well(sakura, STEPS)
        sakura.blames("iruka")


def part(hosts: Hosts, name: str, terms: tuple[str, ...]) -> None:
    """iruka and this host were bonded, and are known to each other since."""
    hosts.tie("iruka", name, mine=WILLING, theirs=terms)
    hosts["iruka"].cli("bond", "end", name, "--yes")
    until_over(hosts, "iruka", name)
    until_over(hosts, name, "iruka")


def until_over(hosts: Hosts, here: str, there: str) -> None:
    hosts.until(lambda: (bond := hosts[here].bond(there)) is not None and bond.ended, f"no bond with {there} on {here}")
