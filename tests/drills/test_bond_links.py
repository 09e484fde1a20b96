"""Two hosts, and what is lost between them: the link, the lease store, both."""

from __future__ import annotations

from pathlib import Path

import pytest
from hosts import Hosts

from goldthread.report import Contact, Guard, HolderState

STEPS = 200
LARGE = 6_000_000
"""Numbers of a state of 46 MiB, which takes two seconds at SLOW."""
SLOW = ("--bandwidth", "24MiB")


@pytest.mark.parametrize(("source", "target"), [("iruka", "kakashi"), ("kakashi", "iruka")])
def test_link_cut_in_one_direction_stops_nobody(pair: Hosts, source: str, target: str) -> None:
    """The lease vouches for the life, so it goes on, and is not taken over; after the mending it is held again."""
    iruka, kakashi = pair["iruka"], pair["kakashi"]
    pair.hold_at(10)
    iruka.run(STEPS)
    iruka.until_held(10)
    pair.cut(source, target, one_way=True)
    kakashi.until_contact("iruka", Contact.SILENT)
    iruka.until_contact("kakashi", Contact.SILENT)
    iruka.until_alarm("walk is exposed: kakashi, which held its copy, is silent: ")
    step = pair.walk_on()
    iruka.until_step(step)
    pair.mend(source, target, one_way=True)
    iruka.until_held(step)
    pair.ends_well(iruka, STEPS)
    assert iruka.causes() == ["finished"]
    assert {line.epoch for line in pair.ledger()} == {1}
    assert kakashi.member() is None


def test_link_cut_in_both_directions_stops_nobody(pair: Hosts) -> None:
    """For longer than a lease: the owner renews it, and the holder, which doubts, sees that."""
    iruka, kakashi = pair["iruka"], pair["kakashi"]
    pair.hold_at(10)
    iruka.run(STEPS, pause="0.02")
    iruka.until_held(10)
    pair.cut("iruka", "kakashi")
    kakashi.until_held_state(HolderState.DOUBTING)
    assert (held := kakashi.held()) is not None and held.reason == "iruka is silent"
    iruka.until(lambda member: member.exposed.startswith("kakashi, which holds its copy, is silent"), "exposed")
    step = pair.walk_on(100)
    iruka.until_step(step)
    pair.mend("iruka", "kakashi")
    kakashi.until_held_state(HolderState.BONDED)
    iruka.until_held(step)
    pair.ends_well(iruka, STEPS)
    assert iruka.causes() == ["finished"]
    assert {line.epoch for line in pair.ledger()} == {1}


def test_link_cut_in_the_middle_of_a_transfer(pair: Hosts) -> None:
    """The copy before stays whole at the holder, and what has landed of the next one does not travel again."""
    iruka, kakashi = pair["iruka"], pair["kakashi"]
    iruka.cli("bond", "terms", "kakashi", *SLOW)
    kakashi.cli("bond", "terms", "iruka", *SLOW)
    size = 8 * LARGE
    pair.hold_at(1)
    iruka.run(3, size=str(LARGE))
    iruka.until_held(1)
    before = pair.bytes_to("kakashi")
    pair.hold_at(2)
    pair.until(lambda: pair.bytes_to("kakashi") - before > size // 2, "half of a commit is on its way")
    pair.cut("iruka", "kakashi")
    kakashi.until_contact("iruka", Contact.SILENT)
    held = kakashi.held()
    assert held is not None and held.commit is not None and held.commit.step == 1
    pair.mend("iruka", "kakashi")
    iruka.until_held(2)
    assert pair.bytes_to("kakashi") - before < 1.4 * size
    pair.ends_well(iruka, 3, size=LARGE)
    assert iruka.causes() == ["finished"]


@pytest.mark.long
@pytest.mark.parametrize("share", [0.05, 0.25, 0.45, 0.65, 0.85, 0.99])
@pytest.mark.parametrize(
    ("source", "target", "one_way"),
    [("iruka", "kakashi", True), ("kakashi", "iruka", True), ("iruka", "kakashi", False)],
    ids=["there", "back", "both"],
)
def test_link_cut_at_every_stage_of_a_transfer(
    pair: Hosts, source: str, target: str, one_way: bool, share: float
) -> None:
    """In both directions, and in one only: what one side believes to have sent, or to have answered, the other never
    had."""
    iruka, kakashi = pair["iruka"], pair["kakashi"]
    iruka.cli("bond", "terms", "kakashi", *SLOW)
    pair.hold_at(1)
    iruka.run(4, size=str(LARGE))
    iruka.until_held(1)
    before = pair.bytes_to("kakashi")
    pair.hold_at(2)
    pair.until(lambda: pair.bytes_to("kakashi") - before > share * 8 * LARGE, f"{share:.0%} of a commit is on its way")
    pair.cut(source, target, one_way=one_way)
    kakashi.until_contact("iruka", Contact.SILENT)
    held = kakashi.held()
    assert held is not None and held.commit is not None
    pair.mend(source, target, one_way=one_way)
    iruka.until_held(2)
    pair.hold_at(3)
    iruka.until_held(3)
    pair.kill_host("iruka")
    kakashi.until_step(3, 2)
    pair.ends_well(kakashi, 4, size=LARGE)
    kakashi.blames("iruka")


def test_host_lost_in_the_middle_of_a_transfer(pair: Hosts) -> None:
    """What arrived half is nothing: the takeover goes on from the copy before, which is whole."""
    iruka, kakashi = pair["iruka"], pair["kakashi"]
    iruka.cli("bond", "terms", "kakashi", *SLOW)
    pair.hold_at(1)
    iruka.run(3, size=str(LARGE))
    iruka.until_held(1)
    before = pair.bytes_to("kakashi")
    pair.hold_at(2)
    pair.until(lambda: pair.bytes_to("kakashi") - before > 4 * LARGE, "half of a commit is on its way")
    pair.kill_host("iruka")
    kakashi.until_step(2, 2)
    pair.ends_well(kakashi, 3, size=LARGE)
    kakashi.blames("iruka")
    assert kakashi.why()["lives"][0]["lost"].startswith("what it did after step 1")
    assert next(line.step for line in pair.ledger() if line.epoch == 2) == 1


def test_lease_store_lost_stops_nobody(tmp_path: Path) -> None:
    """The partner's promise vouches while the store is stopped; with both lost the life waits until one is back."""
    with Hosts(tmp_path, "iruka", "kakashi", lease_store="etcd") as hosts:
        hosts.tie("iruka", "kakashi")
        assert hosts.etcd is not None
        iruka, kakashi = hosts["iruka"], hosts["kakashi"]
        hosts.hold_at(10)
        iruka.run(STEPS)
        iruka.until(lambda member: member.guard is Guard.LEASE and member.step == 10, "guarded by a lease")
        hosts.etcd.freeze()
        iruka.until_alarm("lease store")
        iruka.until_held(hosts.walk_on())
        hosts.cut("iruka", "kakashi")
        iruka.until(lambda member: member.vouched == 0, "nobody vouches")
        kakashi.until_held_state(HolderState.DOUBTING)
        hosts.etcd.bring_back()
        step = hosts.walk_on()
        iruka.until_step(step)
        hosts.mend("iruka", "kakashi")
        iruka.until_held(step)
        hosts.etcd.lose()
        hosts.etcd.bring_back()
        hosts.ends_well(iruka, STEPS)
        assert iruka.causes() == ["finished"]
        assert {line.epoch for line in hosts.ledger()} == {1}


def test_host_lost_is_taken_over_by_a_lease_in_etcd(tmp_path: Path) -> None:
    """And by the preset for hosts that are close to each other."""
    with Hosts(tmp_path, "iruka", "kakashi", lease_store="etcd", preset="fast") as hosts:
        hosts.tie("iruka", "kakashi")
        hosts.hold_at(20)
        hosts["iruka"].run(60)
        hosts["iruka"].until_held(20)
        hosts.kill_host("iruka")
        hosts["kakashi"].until_step(20, 2)
        hosts.ends_well(hosts["kakashi"], 60)
        hosts["kakashi"].blames("iruka")


def test_without_a_lease_store_hold_waits_for_a_person(tmp_path: Path) -> None:
    """A lost link stops nobody and gives nobody the member; when the host is gone a person says so."""
    with Hosts(tmp_path, "iruka", "kakashi", lease_store="") as hosts:
        hosts.tie("iruka", "kakashi")
        iruka, kakashi = hosts["iruka"], hosts["kakashi"]
        hosts.hold_at(20)
        iruka.run(STEPS)
        iruka.until_held(20)
        hosts.cut("iruka", "kakashi")
        kakashi.until_alarm("goldthread takeover walk")
        hosts.hold_at(40)
        iruka.until_step(40)
        assert kakashi.member() is None
        hosts.kill_host("iruka")
        hosts.mend("iruka", "kakashi")
        assert "nothing vouches that walk does not run there" in kakashi.cli("takeover", "walk", status=2)
        kakashi.cli("takeover", "walk", "--yes")
        kakashi.until_step(40, 2)
        hosts.start_host("iruka")
        iruka.until_holder("kakashi")
        hosts.ends_well(kakashi, STEPS)
        kakashi.blames("iruka")
        assert kakashi.why()["lives"][0]["ending"]["text"].startswith("a person wants it taken over, and iruka is ")
        assert iruka.causes()[0] == "host restarted"


def test_a_person_who_errs_makes_two_lives_until_the_link_is_back(tmp_path: Path) -> None:
    """The takeover of a member that runs behind a lost link: the newer life wins, the older one ends and says why."""
    with Hosts(tmp_path, "iruka", "kakashi", lease_store="") as hosts:
        hosts.tie("iruka", "kakashi")
        iruka, kakashi = hosts["iruka"], hosts["kakashi"]
        hosts.hold_at(20)
        iruka.run(STEPS)
        iruka.until_held(20)
        hosts.cut("iruka", "kakashi")
        kakashi.until_contact("iruka", Contact.SILENT)
        kakashi.cli("takeover", "walk", "--yes")
        kakashi.until_step(20, 2)
        hosts.mend("iruka", "kakashi")
        iruka.until_holder("kakashi")
        assert [life["ending"]["kind"] for life in iruka.why()["lives"]] == ["fenced"]
        hosts.ends_well(kakashi, STEPS)
        kakashi.blames("iruka")


def test_without_a_lease_store_yield_stops_and_is_taken_over(tmp_path: Path) -> None:
    """The owner stops before the holder begins, though both live; and the holder keeps it when the link is back."""
    terms = ("--without-lease-store", "yield")
    with Hosts(tmp_path, "iruka", "kakashi", lease_store="") as hosts:
        hosts.tie("iruka", "kakashi", mine=terms, theirs=terms)
        iruka, kakashi = hosts["iruka"], hosts["kakashi"]
        hosts.hold_at(STEPS - 10)
        iruka.run(STEPS, pause="0.02")
        iruka.until(lambda member: member.guard is Guard.PROMISE and member.held is not None, "guarded by a promise")
        hosts.cut("iruka", "kakashi")
        kakashi.until_step(1, 2)
        hosts.mend("iruka", "kakashi")
        iruka.until_holder("kakashi")
        hosts.ends_well(kakashi, STEPS)
        kakashi.blames("iruka")
        told = iruka.why()["lives"][0]["ending"]
        assert told["kind"] in ("fenced", "nobody vouched for it")
