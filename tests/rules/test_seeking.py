"""When a partner is sought in the circle, and which."""

from __future__ import annotations

from itertools import pairwise

from goldthread.names import Instant, KeeperId, Span, seconds
from goldthread.policy import Policy
from goldthread.rules import bond_events, orders
from goldthread.rules.bond_events import BeatHeard, BondTied, PartnerOffer, PartnersFound
from goldthread.rules.bond_orders import BondRecord, SeekPartners, TieWith
from goldthread.rules.events import Ticked
from goldthread.rules.machine import Machine
from goldthread.terms import Terms

POLICY = Policy()
A, B, C, D = (KeeperId(letter * 32) for letter in "abcd")


class Host:
    """A machine in a circle, and what it ordered."""

    def __init__(self, me: KeeperId = A, *, is_in_circle: bool = True, bonds: tuple[BondRecord, ...] = ()) -> None:
        self.now = Instant(seconds(1))
        self.machine = Machine.recover(
            POLICY, me, (), (), bonds, rebooted=False, now=self.now, name="iruka", is_in_circle=is_in_circle
        )
        self.sought: list[Instant] = []
        self.alarms: list[str] = []

    def tell(self, event: object) -> list[object]:
        ordered: list[object] = list(self.machine.handle(event, self.now))  # type: ignore[arg-type]
        self.sought += [self.now for order in ordered if isinstance(order, SeekPartners)]
        self.alarms += [order.text for order in ordered if isinstance(order, orders.Alarm)]
        return ordered

    def tick(self, span: Span, heard: KeeperId | None = None) -> None:
        """Let time pass; one keeper beats all the while."""
        end = self.now + span
        while self.now < end:
            self.now = Instant(self.now + POLICY.tick)
            if heard is not None:
                self.tell(BeatHeard(heard, 1, None))
            self.tell(Ticked())

    def choice(self, *offers: PartnerOffer) -> TieWith | None:
        ties = [order for order in self.tell(PartnersFound(offers)) if isinstance(order, TieWith)]
        return ties[0] if ties else None


def offer(keeper: KeeperId, *partners: KeeperId, label: str = "") -> PartnerOffer:
    return PartnerOffer(keeper, keeper[:1], label, Terms(), partners)


def bond(partner: KeeperId, *, ended: bool = False) -> BondRecord:
    return BondRecord(partner, "kakashi", Terms(), Terms(), version=1, ended=ended)


def test_who_has_no_partner_seeks_one_and_not_all_the_time() -> None:
    host = Host()
    host.tick(seconds(30))
    assert len(host.sought) > 2
    assert all(later - earlier >= POLICY.seek_every for earlier, later in pairwise(host.sought))


def test_without_a_circle_nothing_is_ever_sought() -> None:
    host = Host(is_in_circle=False, bonds=(bond(B),))
    host.tick(seconds(60))
    assert host.sought == []


def test_a_partner_that_is_heard_is_enough() -> None:
    host = Host(bonds=(bond(B),))
    host.tick(seconds(60), heard=B)
    assert host.sought == []
    assert host.choice(offer(C)) is None


def test_a_silent_partner_is_waited_for_first() -> None:
    """For `partner_grace`, then another one is sought, and why is said."""
    host = Host(bonds=(bond(B),))
    host.tick(seconds(5), heard=B)
    host.tick(POLICY.partner_grace)
    assert host.sought == []
    host.tick(seconds(5))
    assert len(host.sought) == 1
    choice = host.choice(offer(C))
    assert choice is not None
    assert choice.keeper == C
    assert choice.reason.startswith("iruka hears nothing of kakashi and found c in its circle: it is in another")
    host.tell(BondTied(C, "c", Terms(), Terms(), choice.reason))
    assert f"a bond with c is tied: {choice.reason}" in host.alarms


def test_what_a_person_ended_is_not_tied_again() -> None:
    host = Host(bonds=(bond(B, ended=True),))
    host.tick(seconds(1))
    assert len(host.sought) == 1
    assert host.choice(offer(B)) is None
    choice = host.choice(offer(B), offer(C))
    assert choice is not None and choice.keeper == C


def test_nobody_found_is_no_choice() -> None:
    assert Host().choice() is None
    assert Host().choice(offer(A)) is None


def test_two_that_see_the_same_choose_each_other() -> None:
    """Four free keepers make two pairs, whichever of them looks."""
    chosen = {}
    for me in (A, B, C, D):
        choice = Host(me).choice(*(offer(other) for other in (D, C, B, A) if other != me))
        assert choice is not None
        chosen[me] = choice.keeper
    assert all(chosen[chosen[me]] == me for me in chosen)


def test_a_pair_that_stands_is_left_alone() -> None:
    choice = Host().choice(offer(B, C), offer(C, B), offer(D))
    assert choice is not None and choice.keeper == D
    odd = Host().choice(offer(B, C), offer(C, B))
    assert odd is not None and odd.keeper in (B, C)


def test_one_whose_partner_is_not_seen_is_better_than_none() -> None:
    choice = Host().choice(offer(B, C))
    assert choice is not None and choice.keeper == B
    free = Host().choice(offer(B, C), offer(D))
    assert free is not None and free.keeper == D


def test_a_bond_that_a_person_ties_says_no_reason() -> None:
    host = Host()
    host.tell(bond_events.BondTied(B, "kakashi", Terms(), Terms()))
    assert host.alarms == ["a bond with kakashi is tied"]
