"""What a holder is asked to hold, what it refuses, and when its copy counts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from goldthread.names import CommitId, Epoch, Instant, KeeperId, Level, MemberName, Span, Step, milliseconds
from goldthread.policy import Budget, Policy
from goldthread.report import Guard, Phase
from goldthread.rules import bond_events, bond_orders, events, orders
from goldthread.rules.events import Copy
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
        self.said: dict[KeeperId, Facts] = {}
        for partner, name in ((IRUKA, "iruka"), (SAKURA, "sakura")):
            self.machine.handle(bond_events.BondTied(partner, name, Terms(), Terms()), self.now)
            self.machine.handle(bond_events.LinkUp(partner, name), self.now)

    def hear(self, partner: KeeperId, version: int, *owned: OwnedFact, listener: KeeperId | None = None) -> list[str]:
        """Hear what a partner owns; why that is refused, as it is told, or as another partner is told."""
        self.now = Instant(self.now + milliseconds(100))
        facts = Facts(version, Terms(), "", "", 1 << 30, owned, (), ())
        ordered = self.machine.handle(bond_events.BeatHeard(partner, version, facts), self.now)
        beats = [one for one in ordered if isinstance(one, bond_orders.SendBeat)]
        self.said |= {one.partner: one.facts for one in beats if one.facts is not None}
        beats = [one for one in beats if one.partner == (listener or partner)]
        return [fact.refused for one in beats if one.facts is not None for fact in one.facts.held if fact.refused]

    def told(self, partner: KeeperId) -> Facts:
        """What a partner was told last when something was heard."""
        return self.said[partner]

    def take(self, partner: KeeperId) -> None:
        """A whole copy comes from a partner, and what is needed to run it."""
        copy = Copy(COMMIT, Level.HELD, 1 << 20)
        self.machine.handle(bond_events.CopyLanded(partner, WALK, copy), self.now)
        self.machine.handle(bond_events.BundleLanded(partner, WALK, "ab"), self.now)

    def wait(self, span: int, *heard: KeeperId) -> None:
        """So many seconds go by in which these partners are heard."""
        for number in range(2 * span):
            self.now = Instant(self.now + milliseconds(500))
            self.machine.handle(events.Ticked(), self.now)
            for partner in heard:
                self.machine.handle(bond_events.BeatHeard(partner, 1_000 + number, None), self.now)

    def ask_takeover(self) -> list[Any]:
        """A person wants the member here; the answers."""
        ordered = self.machine.handle(bond_events.TakeoverAsked(9, WALK, KAKASHI), self.now)
        return [order for order in ordered if isinstance(order, orders.Accept | orders.Refuse)]


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


def test_the_owner_of_an_older_life_is_told_of_the_newer_one_where_its_copy_is_held() -> None:
    """By the newer one's number: so it knows that its own life is over."""
    kakashi = Keeper()
    kakashi.machine.handle(events.RunAsked(1, WALK, Budget(0)), kakashi.now)
    kakashi.hear(IRUKA, 1, msgspec.structs.replace(RUNNING, origin=KAKASHI, epoch=Epoch(2)))
    kakashi.hear(SAKURA, 1, msgspec.structs.replace(RUNNING, origin=KAKASHI, epoch=Epoch(3), hold=False))
    told = [fact for fact in kakashi.told(IRUKA).held if fact.refused]
    assert [(fact.member, fact.epoch) for fact in told] == [(WALK, 3)]


@pytest.mark.parametrize("guard", [Guard.PROMISE, Guard.NONE])
def test_a_copy_of_an_older_life_is_not_taken_over_beside_a_newer_one(guard: Guard) -> None:
    """Iruka owned it, then Sakura, as a person decided: that Iruka falls silent says nothing of Sakura's life. Nor of
    Kakashi's own, when it is given that; a person who wants it taken over is told that it runs here."""
    kakashi = Keeper()
    kakashi.hear(IRUKA, 1, msgspec.structs.replace(RUNNING, guard=guard))
    kakashi.take(IRUKA)
    sakuras = msgspec.structs.replace(RUNNING, epoch=Epoch(2))
    kakashi.hear(SAKURA, 1, sakuras)
    kakashi.take(SAKURA)
    kakashi.wait(30)
    assert kakashi.machine.view(WALK) is None
    kakashi.hear(SAKURA, 2, msgspec.structs.replace(sakuras, phase=Phase.DOWN, given_up=True))
    kakashi.wait(30)
    (answer,) = kakashi.ask_takeover()
    assert isinstance(answer, orders.Refuse) and answer.text == "walk runs here"
    view = kakashi.machine.view(WALK)
    assert view is not None and (view.phase, view.epoch) == (Phase.STARTING, 3)


def holding_two_lives() -> Keeper:
    """Kakashi's: of Iruka's life 1 and of Sakura's life 2 it has a copy each."""
    kakashi = Keeper()
    for number, partner in enumerate((IRUKA, SAKURA), 1):
        kakashi.hear(partner, 1, msgspec.structs.replace(RUNNING, epoch=Epoch(number)))
        kakashi.take(partner)
    return kakashi


def test_a_copy_of_an_older_life_is_let_go_when_a_newer_one_has_two_commits_here() -> None:
    kakashi = holding_two_lives()
    kakashi.hear(SAKURA, 2, msgspec.structs.replace(RUNNING, epoch=Epoch(2), phase=Phase.DOWN, given_up=True))
    assert [held.partner for held in kakashi.machine.held_views()] == [IRUKA]
    kakashi.machine.handle(events.LifeStarted(WALK, Epoch(3), 100), kakashi.now)
    for number in (1, 2):
        sealed = CommitId(Epoch(3), Step(5 + number), number)
        ordered = kakashi.machine.handle(events.CommitSealed(WALK, sealed, 1 << 20), kakashi.now)
    assert bond_orders.DropCopies(IRUKA, WALK) in ordered
    assert kakashi.machine.held_views() == ()


def test_a_person_who_takes_an_older_life_over_outranks_the_newer_one() -> None:
    """Sakura has a newer life, of which nothing is held here, and nobody hears of either."""
    kakashi = Keeper()
    kakashi.hear(IRUKA, 1, RUNNING)
    kakashi.take(IRUKA)
    kakashi.hear(SAKURA, 1, msgspec.structs.replace(RUNNING, epoch=Epoch(4), hold=False))
    kakashi.wait(30)
    kakashi.ask_takeover()
    view = kakashi.machine.view(WALK)
    assert view is not None and view.epoch == 5


def test_a_person_takes_over_the_newest_life_that_is_held() -> None:
    kakashi = holding_two_lives()
    kakashi.wait(30, IRUKA)
    kakashi.ask_takeover()
    view = kakashi.machine.view(WALK)
    assert view is not None and view.epoch == 3


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
