"""All bonds of a keeper: their beats, what is said on them, and whose turn it is.

Here events between keepers find the member, the held member or the partner that they are about. What follows stands in
`owning.py` (this keeper's members and who holds them), `holding.py` (what is held here) and `leasing.py`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from goldthread.names import Epoch, Instant, KeeperId, MemberName, Span
from goldthread.policy import Policy
from goldthread.report import AlarmLevel, Contact, Guard, HolderState, Phase
from goldthread.rules import bond_orders, holding, orders, owning, seeking
from goldthread.rules.bedside import Help, Offer, choose_helper
from goldthread.rules.bond_orders import BondRecord, HeldRecord
from goldthread.rules.facts import facts_for, shape_of
from goldthread.rules.held import SLOTS_HELD, Held
from goldthread.rules.member import Member, new_record
from goldthread.rules.partner import BondView, Partner
from goldthread.rules.placement import Candidate, rank_holders
from goldthread.terms import Consent, Terms, WithoutLeaseStore

__all__ = ["Bonds"]


class Bonds:
    """`now` and `awake` are set before anything is called; orders are appended to `out`."""

    def __init__(
        self,
        policy: Policy,
        me: KeeperId,
        name: str,
        label: str,
        lease_store: str,
        members: dict[MemberName, Member],
        *,
        is_in_circle: bool = False,
    ) -> None:
        self.policy = policy
        self.me = me
        self.name = name
        self.label = label
        self.lease_store = lease_store
        self.members = members
        self.partners: dict[KeeperId, Partner] = {}
        self.helds: dict[tuple[KeeperId, MemberName], Held] = {}
        self.refusals: dict[KeeperId, dict[MemberName, tuple[str, Instant]]] = {}
        """What partners do not hold: why, and when they may be asked again."""
        self.forgotten: dict[MemberName, orders.MemberRecord] = {}
        """Of members that were forgotten the number of their last life: others may have copies, and know it."""
        self.out: list[Any] = []
        self.now = Instant(0)
        self.awake = Span(0)
        self._began = Instant(0)
        self._asks = 0
        self.is_in_circle = is_in_circle
        self.seek_due = Instant(0)
        self.is_idle = not is_in_circle
        """This keeper has had no dealings with others, and seeks none."""

    def know(self, record: BondRecord) -> Partner:
        """A bond, tied now or brought back."""
        self.is_idle = False
        partner = self.partners[record.partner] = Partner(self.policy, record)
        return partner

    def recover(
        self,
        bonds: tuple[BondRecord, ...],
        helds: tuple[HeldRecord, ...],
        forgotten: tuple[BondRecord, ...],
        *,
        rebooted: bool,
        now: Instant,
    ) -> None:
        """Go on where the last keeper ended. What it promised binds this one, which cannot know when that was."""
        self.now = self._began = now
        known = {record.partner for record in bonds}
        for record in (*bonds, *(record for record in forgotten if record.partner not in known)):
            partner = self.know(record)
            if record.partner not in known:
                self._say_forgotten(record)
            partner.promise_until = Instant(now + self.policy.promise)
            partner.beats.expect(self.policy.return_grace)
        for held_record in helds:
            own = self.members.get(held_record.member)
            if own is not None and own.record.phase is not Phase.AWAY and own.record.epoch > held_record.epoch:
                # It was taken over, and the last keeper died before all of that was done.
                self.out.append(bond_orders.AdoptCopies(held_record.partner, held_record.member))
                self.out.append(bond_orders.ForgetHeld(held_record.partner, held_record.member))
            elif held_record.partner in self.partners:
                held = self.helds[held_record.partner, held_record.member] = Held(held_record)
                held.is_sure = held_record.commit is None
                if rebooted and held_record.commit is not None:
                    holding.lose_copy(self, held, "the host was restarted")
        for member in self.members.values():
            self.is_idle = self.is_idle and not member.record.claimants
            member.fence.assumed_until = self.vouchers_over()
        self.wait_for_holders(Span(0))

    def _say_forgotten(self, record: BondRecord) -> None:
        self.out.append(orders.Persist(record))
        text = f"the journal knows nothing of the bond with {record.name}: this side's terms are the defaults"
        self.alarm(AlarmLevel.WARNING, f"{text}, and it takes over when asked; `goldthread bond terms {record.name}`")

    def claimants_of(self, member: MemberName) -> tuple[KeeperId, ...]:
        """Who may take over a member of which the journal knows nothing: what they were told is not known either."""
        return tuple(
            partner.id
            for partner in self.partners.values()
            if partner.record.forgotten and (partner.facts is None or partner.holds(member) is not None)
        )

    def forget_member(self, member: Member) -> list[Any]:
        """A user has forgotten this member. Whoever has a copy is told to let it go, and a later life is to outrank
        what is left; so its number is kept, where there are others. There is no moment at which neither is known."""
        record, kept = member.record, None
        if not self.is_idle:
            later = Epoch(record.epoch + 1)
            kept = new_record(record.name, self.policy, record.origin, record.claimants)
            kept = msgspec.structs.replace(
                kept, epoch=record.epoch, begun=record.epoch, started=record.epoch, floor=later
            )
            self.forgotten[record.name] = kept
        said = [] if member.forget is None else [orders.Accept(member.forget, f"{record.name} is forgotten")]
        return [orders.Forget(record.name, kept), *said]

    def begin_member(self, name: MemberName) -> orders.MemberRecord:
        """What a member begins from that is not known here, or was forgotten."""
        kept = self.forgotten.pop(name, None)
        return new_record(name, self.policy, self.me, self.claimants_of(name)) if kept is None else kept

    def vouchers_over(self) -> Instant:
        """When all that vouched for lives under the last keeper is over."""
        return Instant(self._began + max(self.policy.promise, self.policy.lease))

    def stood_still(self, span: Span, awake: Span) -> None:
        """This keeper was paused or starved for so long: it blames itself for what it has not heard."""
        self.wait_for_holders(awake)
        if not self.is_idle:
            text = f"this keeper stood still for {span / 1e9:.1f} s: what was not heard meanwhile is blamed on nobody"
            self.alarm(AlarmLevel.NOTICE, text)

    def wait_for_holders(self, awake: Span) -> None:
        """This keeper began, or slept: holders are given the time to be heard before what they have is passed over."""
        for member in self.members.values():
            if member.record.holder in self.partners:
                member.elsewhere_over = Span(awake + self.policy.return_grace)

    def tick(self) -> None:
        for partner in self.partners.values():
            if partner.contact(self.awake) is Contact.SILENT and partner.silent_at is None:
                partner.silent_at = self.awake
            if partner.is_up and self.now >= partner.due:
                self.beat(partner)
            if partner.record.ending and partner.is_up and not partner.end_sent:
                partner.end_sent = True
                self.out.append(bond_orders.EndBond(partner.id, "its user ended the bond"))
        seeking.seek(self)

    def settle(self) -> None:
        """After every event: do what is missing for each member, here and held."""
        for member in list(self.members.values()):
            if member.record.phase is not Phase.ABSENT:
                owning.follow(self, member)
        for held in list(self.helds.values()):
            holding.consider(self, held)

    def speak(self) -> None:
        """Say what is new to each partner. Called when the orders that it rests on are given."""
        grounds = self._grounds()
        for partner in self.partners.values():
            if partner.rests_on(grounds) or not self.renew_facts(partner):
                continue
            if partner.is_up:
                self.beat(partner)

    def deadline(self) -> Instant | None:
        """When a beat, a voucher or a claim is due."""
        due = [partner.due for partner in self.partners.values() if partner.is_up]
        claimed = [held for held in self.helds.values() if held.record.state is HolderState.CLAIMING]
        due += [held.due for held in claimed if held.ask is None]
        for member in self.members.values():
            fence, until = member.fence, member.fence.until(member.record)
            if until is not None and member.is_alive and fence.frozen_at is None and until > self.now:
                due.append(until)
            if fence.ask is None and fence.due > self.now and (fence.lease is not None or until is not None):
                due.append(fence.due)
        return min(due, default=None)

    def alarm(self, level: AlarmLevel, text: str) -> None:
        self.out.append(orders.Alarm(level, None, text))

    def ask(self) -> int:
        self._asks += 1
        return self._asks

    def name_of(self, keeper: KeeperId | None) -> str:
        if keeper is None:
            return "another keeper"
        if keeper == self.me:
            return self.name
        partner = self.partners.get(keeper)
        return keeper[:8] if partner is None else partner.name

    def holds(self, member: MemberName) -> str:
        """For whom a member of this name is held here; empty where none is."""
        return next((self.name_of(owner) for owner, name in self.helds if name == member), "")

    def owned(self, member: MemberName) -> Member | None:
        """The member of this name that is this keeper's own, by what is known here."""
        own = self.members.get(member)
        return None if own is None or own.record.phase in (Phase.ABSENT, Phase.AWAY) else own

    def let_copies_go(self) -> str:
        """This keeper ends in order, and its copies with it: the next one must not count on them. Says which."""
        gone = []
        for (owner, name), held in sorted(self.helds.items()):
            if held.record.commit is not None:
                gone.append(f"{name} of {self.name_of(owner)}")
                holding.lose_copy(self, held, "the keeper ended in order")
        return f", and with it the copies that it holds: {', '.join(gone)}" if gone else ""

    def views(self) -> tuple[BondView, ...]:
        return tuple(
            partner.view(self.awake, tuple((name, why) for name, (why, _) in self.refusals.get(one, {}).items()))
            for one, partner in sorted(self.partners.items())
        )

    # What the sides of a bond ask of it

    def choose_holder(self, member: Member) -> Partner | None:
        """The partner that is to hold this member, among those that are heard."""
        fit = []
        for partner in self.partners.values():
            facts, refusal = partner.facts, self.refusals.get(partner.id, {}).get(member.record.name)
            is_asked_later = refusal is not None and self.now < refusal[1]
            if facts is not None and self.can_hold(partner) and not is_asked_later:
                load = sum(1 for one in self.members.values() if one.record.holder == partner.id)
                fit.append(Candidate(partner.id, facts.label, facts.room, load))
        ranked = rank_holders(fit, self.label, self.bytes_to_hold(member), member.former_owner)
        return self.partners[ranked[0].keeper] if ranked else None

    def hears(self, partner: Partner) -> bool:
        return partner.contact(self.awake) is not Contact.SILENT

    def can_hold(self, partner: Partner) -> bool:
        """Whether the partner may be asked to hold a member now."""
        record = partner.record
        is_heard = partner.is_up and partner.contact(self.awake) is not Contact.SILENT
        return is_heard and not (record.ending or record.ended)

    def choose_helper(self, member: Member) -> Help:
        """Whom to ask for a member that no partner can hold: keepers that are known, and willing in an emergency.

        A bond that was tied in one, and that a person ended, is not tied again."""
        offers = []
        for partner in self.partners.values():
            facts, record = partner.facts, partner.record
            is_heard = partner.is_up and partner.contact(self.awake) is not Contact.SILENT
            if facts is not None and is_heard and record.ended and record.mine.emergency and not record.emergency:
                offers.append(Offer(partner.id, partner.name, facts.label, facts.terms, facts.room))
        return choose_helper(offers, Terms(emergency=True), self.label, self.bytes_to_hold(member))

    def tie_in_emergency(self, partner: Partner, reason: str) -> None:
        """Bond again with a keeper that is known, with nobody asked: said until a person confirms or ends it."""
        partner.record = msgspec.structs.replace(partner.record, ended=False, emergency=reason)
        self.out.append(orders.Persist(partner.record))
        text = f"an emergency bond with {partner.name} is tied: {reason}"
        self.alarm(AlarmLevel.CRITICAL, f"{text}; `goldthread bond confirm {partner.name}` or `bond end` decides")

    @staticmethod
    def bytes_to_hold(member: Member) -> int:
        return 0 if member.sealed is None else SLOTS_HELD * member.sealed.bytes

    def guard_for(self, partner: Partner) -> Guard:
        """What keeps two lives apart where this partner holds a member."""
        if partner.terms.takeover is Consent.NO or partner.record.ending or partner.record.ended:
            return Guard.NONE
        if self.lease_store and partner.facts is not None and partner.facts.lease_store == self.lease_store:
            return Guard.LEASE
        if partner.record.mine.without_lease_store is WithoutLeaseStore.YIELD:
            return Guard.PROMISE
        return Guard.NONE

    def room_for(self, partner: Partner, but: MemberName | None = None) -> int:
        """Bytes that are left of what is lent to a partner, one of its members not counted."""
        if partner.record.ended and not partner.record.mine.emergency:
            return 0
        taken = sum(
            SLOTS_HELD * held.record.bytes
            for (owner, name), held in self.helds.items()
            if owner == partner.id and name != but
        )
        return max(0, partner.record.mine.memory - taken)

    def meet_newer(self, member: Member, partner: Partner, epoch: Epoch) -> None:
        """A partner runs a newer life of a member of this keeper: the fence."""
        owning.go_away(self, member, partner.id, epoch)

    # Inside

    def beat(self, partner: Partner) -> None:
        version = partner.record.version
        facts = None if partner.seen >= version else facts_for(self, partner, version)
        self.out.append(bond_orders.SendBeat(partner.id, partner.send(self.now), facts))

    def _grounds(self) -> list[object]:
        """All of this keeper that facts are made from. Each is replaced when it changes, so its identity tells."""
        members = self.members.values()
        grounds: list[object] = [member.record for member in members]
        grounds += [member.sealed for member in members]
        grounds += [held.record for held in self.helds.values()]
        grounds += self.forgotten.values()
        return grounds

    def renew_facts(self, partner: Partner) -> bool:
        """Make this side's facts anew; whether they differ from what the partner was told."""
        facts = facts_for(self, partner, partner.record.version + 1)
        shape = shape_of(facts)
        if partner.shape == shape:
            return False
        partner.shape = shape
        partner.record = msgspec.structs.replace(partner.record, version=facts.version)
        partner.note_told(facts)
        self.out.append(orders.Persist(partner.record))
        return True

    def set_time(self, member: Member) -> None:
        member.now, member.awake = self.now, self.awake
