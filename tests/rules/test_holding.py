"""What a holder is asked to hold, what it refuses, and when its copy counts."""

from __future__ import annotations

import msgspec
import pytest

from goldthread.names import CommitId, Epoch, Instant, KeeperId, MemberName, Span, Step, milliseconds
from goldthread.policy import Budget, Policy
from goldthread.report import Guard, Phase
from goldthread.rules import bond_events, bond_orders, events
from goldthread.rules.machine import Machine
from goldthread.rules.member import Member, new_record
from goldthread.terms import Terms
from goldthread.wire.bonds import Facts, OwnedFact
from goldthread.wire.leases import Lease

IRUKA, KAKASHI, SAKURA = (KeeperId(letter * 32) for letter in "iks")
WALK = MemberName("walk")
COMMIT = CommitId(Epoch(1), Step(5), 5)
RUNNING = OwnedFact(WALK, IRUKA, Epoch(1), True, Phase.RUNNING, True, Guard.NONE, COMMIT, 1 << 20, False, False, "ab")
LEASE = Lease(WALK, IRUKA, Epoch(1), IRUKA, KAKASHI, 7, Policy().lease)
"""Which names Kakashi as the one that may claim it."""
ENDED = msgspec.structs.replace(RUNNING, epoch=Epoch(2), phase=Phase.ENDED, hold=False)


class Keeper:
    """Kakashi's, bonded with two others."""

    def __init__(self) -> None:
        self.machine = Machine(Policy(), KAKASHI, name="kakashi")
        self.now = Instant(milliseconds(1_000))
        for partner, name in ((IRUKA, "iruka"), (SAKURA, "sakura")):
            self.machine.handle(bond_events.BondTied(partner, name, Terms(), Terms()), self.now)
            self.machine.handle(bond_events.LinkUp(partner, name), self.now)

    def hear(self, partner: KeeperId, version: int, *owned: OwnedFact, listener: KeeperId | None = None) -> list[str]:
        """Hear what a partner owns; why that is refused, as it is told, or as another partner is told."""
        self.now = Instant(self.now + milliseconds(100))
        facts = Facts(version, Terms(), "", "", 1 << 30, owned, (), ())
        orders = self.machine.handle(bond_events.BeatHeard(partner, version, facts), self.now)
        beats = [
            one for one in orders if isinstance(one, bond_orders.SendBeat) and one.partner == (listener or partner)
        ]
        return [fact.refused for one in beats if one.facts is not None for fact in one.facts.held if fact.refused]


def test_an_older_life_is_refused_where_another_partner_has_a_newer_one() -> None:
    """Also where that one has ended, and nothing of it is held here."""
    kakashi = Keeper()
    kakashi.hear(SAKURA, 1, ENDED)
    assert kakashi.hear(IRUKA, 1, RUNNING) == ["life 2 of walk is sakura's, by its own word"]


def test_a_newer_life_is_held_whatever_another_partner_had() -> None:
    kakashi = Keeper()
    kakashi.hear(SAKURA, 1, ENDED)
    assert kakashi.hear(IRUKA, 1, msgspec.structs.replace(RUNNING, epoch=Epoch(3))) == []


def test_a_life_is_held_where_a_newer_one_was_only_waited_for() -> None:
    kakashi = Keeper()
    kakashi.hear(SAKURA, 1, msgspec.structs.replace(ENDED, begun=False))
    assert kakashi.hear(IRUKA, 1, RUNNING) == []


def test_who_hears_of_a_newer_life_says_so_to_the_owner_of_an_older_one() -> None:
    """Also where the newer one is heard of after the older one, which may wait for a promise."""
    kakashi = Keeper()
    kakashi.machine.handle(events.RunAsked(1, WALK, Budget(0)), kakashi.now)
    older, newer = (
        msgspec.structs.replace(RUNNING, origin=KAKASHI, epoch=Epoch(epoch), hold=False) for epoch in (2, 3)
    )
    assert kakashi.hear(IRUKA, 1, older) == []
    assert kakashi.hear(SAKURA, 1, newer, listener=IRUKA) == ["a newer life of walk than 2 has begun elsewhere"]


@pytest.mark.parametrize(
    ("claimants", "guard", "lease", "is_sure"),
    [
        ((), Guard.NONE, None, True),
        ((SAKURA,), Guard.LEASE, LEASE, True),
        ((KAKASHI,), Guard.LEASE, LEASE, False),
        ((KAKASHI, SAKURA), Guard.LEASE, LEASE, False),
        ((KAKASHI, SAKURA), Guard.LEASE, msgspec.structs.replace(LEASE, successor=SAKURA), True),
        ((KAKASHI,), Guard.PROMISE, None, False),
    ],
)
def test_a_copy_counts_when_a_takeover_would_go_on_from_it(
    claimants: tuple[KeeperId, ...], guard: Guard, lease: Lease | None, is_sure: bool
) -> None:
    """Sakura holds it now. Kakashi, which held it before, is silent and has an older copy."""
    member = Member(Policy(), new_record(WALK, Policy(), IRUKA), Instant(0), Span(0))
    member.record = msgspec.structs.replace(member.record, holder=SAKURA, held=COMMIT, claimants=claimants, guard=guard)
    member.fence.lease = lease
    assert member.is_copy_sure is is_sure
