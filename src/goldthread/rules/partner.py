"""One bond, as this side sees it: how lately the partner was heard, what it said, and what it has been told."""

from __future__ import annotations

import operator
from typing import Final

import msgspec

from goldthread.names import Epoch, Instant, KeeperId, MemberName, Span
from goldthread.policy import Policy
from goldthread.report import Contact, Guard
from goldthread.rules.bond_orders import BondRecord
from goldthread.rules.suspicion import Suspicion
from goldthread.terms import Terms
from goldthread.wire.bonds import Facts, HeldFact, OwnedFact

__all__ = ["BondView", "Partner", "Told"]

_BEATS_IN_FLIGHT: Final = 64


class Told(msgspec.Struct, frozen=True):
    """What the partner was told of one member, and in which version first."""

    epoch: Epoch
    hold: bool
    guard: Guard
    given_up: bool
    version: int


class BondView(msgspec.Struct, frozen=True):
    """What a report says of a bond."""

    partner: KeeperId
    name: str
    contact: Contact
    reason: str
    mine: Terms
    theirs: Terms
    is_up: bool
    """Whether the link that this keeper dialled stands."""
    heard_at: Instant | None
    round_trip: Span | None
    owned: tuple[OwnedFact, ...]
    """What the partner says that it owns."""
    held: tuple[HeldFact, ...]
    """What the partner says that it holds for this keeper."""
    refusals: tuple[tuple[MemberName, str], ...]
    """The members that the partner was to hold and does not, each with its reason."""
    room: int
    """Bytes that the partner has left for this keeper's copies."""
    ending: bool
    ended: bool
    """It is over, and its keeper is known still."""
    emergency: str
    """Why it was tied with nobody asked; empty where a person did, or has agreed."""


class Partner:
    def __init__(self, policy: Policy, record: BondRecord) -> None:
        self.policy = policy
        self.record = record
        self.is_up = False
        self.beats = Suspicion(policy)
        self.heard_at: Instant | None = None
        self.silent_at: Span | None = None
        """Since when it is silent, in the time that this keeper was awake."""
        self.round_trip: Span | None = None
        self.facts: Facts | None = None
        """What it said last of itself; None: nothing since this keeper began."""
        self._indexed: Facts | None = None
        self._held: dict[MemberName, HeldFact] = {}
        self._owned: dict[MemberName, OwnedFact] = {}
        """Of the facts that were said last, by member; the first where one is named twice."""
        self.mentioned: set[MemberName] = set()
        """The members that it ever spoke of: of these it is told, whatever it says later."""
        self.told: dict[MemberName, Told] = {}
        self.shape: Facts | None = None
        """What it is told at present, but for the commits that are held."""
        self.grounds: list[object] = []
        """What that was made from."""
        self.seen = 0
        """The version that it has seen."""
        self.number = 0
        self.sent: dict[int, Instant] = {}
        """When the beats were sent that are not answered yet."""
        self.due = Instant(0)
        """When the next beat is sent."""
        self.promise_until = Instant(0)
        """Until when this keeper's promises to it bind."""
        self.end_sent = False
        self.refused: dict[MemberName, str] = {}
        """The members of the partner that are not held, and why."""

    @property
    def id(self) -> KeeperId:
        return self.record.partner

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def terms(self) -> Terms:
        """What it lends, as it said last."""
        return self.record.theirs if self.facts is None else self.facts.terms

    def hear(self, now: Instant, awake: Span) -> None:
        self.beats.hear(awake)
        self.heard_at = now
        self.silent_at = None

    def contact(self, awake: Span) -> Contact:
        return self.beats.contact(awake)

    def send(self, now: Instant) -> int:
        """A beat is sent now; its number."""
        self.number += 1
        self.sent[self.number] = now
        self.sent.pop(self.number - _BEATS_IN_FLIGHT, None)
        self.due = Instant(now + self.policy.beat_every)
        return self.number

    def answered(self, number: int, now: Instant) -> Instant | None:
        """When the beat was sent that is answered now; None where it is not known, or was answered."""
        sent = self.sent.pop(number, None)
        if sent is not None:
            self.round_trip = Span(now - sent)
        return sent

    def holds(self, member: MemberName) -> HeldFact | None:
        """What it said of a copy that it holds."""
        self._index_facts()
        return self._held.get(member)

    def owns(self, member: MemberName) -> OwnedFact | None:
        self._index_facts()
        return self._owned.get(member)

    def _index_facts(self) -> None:
        facts = self.facts
        if facts is not self._indexed:
            self._indexed = facts
            self._held = {} if facts is None else {fact.member: fact for fact in reversed(facts.held)}
            self._owned = {} if facts is None else {fact.member: fact for fact in reversed(facts.owned)}

    def has_seen(self, member: MemberName, epoch: Epoch) -> bool:
        """Whether it knows that this is the member's present life."""
        told = self.told.get(member)
        return told is not None and told.epoch == epoch and told.version <= self.seen

    def rests_on(self, grounds: list[object]) -> bool:
        """Whether what it is told was made from these very things and from what it says now; if not, they are noted."""
        grounds = [*grounds, self.record, self.facts]
        if len(grounds) == len(self.grounds) and all(map(operator.is_, grounds, self.grounds)):
            return True
        self.grounds = grounds
        return False

    def note_told(self, facts: Facts) -> None:
        """Remember since which version it is told what."""
        before, self.told = self.told, {}
        for fact in facts.owned:
            told = Told(fact.epoch, fact.hold, fact.guard, fact.given_up, facts.version)
            last = before.get(fact.member)
            if last is not None and (last.epoch, last.hold, last.guard, last.given_up) == (
                told.epoch, told.hold, told.guard, told.given_up,
            ):  # fmt: skip
                told = last
            self.told[fact.member] = told

    def explain(self, awake: Span) -> str:
        if self.contact(awake) is Contact.FRESH:
            return "it beats" if self.is_up else "it beats, and cannot be dialled"
        return self.beats.explain(awake)

    def view(self, awake: Span, refusals: tuple[tuple[MemberName, str], ...]) -> BondView:
        facts = self.facts
        return BondView(
            partner=self.id,
            name=self.name,
            contact=self.contact(awake),
            reason=self.explain(awake),
            mine=self.record.mine,
            theirs=self.terms,
            is_up=self.is_up,
            heard_at=self.heard_at,
            round_trip=self.round_trip,
            owned=() if facts is None else facts.owned,
            held=() if facts is None else facts.held,
            refusals=refusals,
            room=0 if facts is None else facts.room,
            ending=self.record.ending,
            ended=self.record.ended,
            emergency=self.record.emergency,
        )
