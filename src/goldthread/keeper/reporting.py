"""What a keeper says of itself: the machine's views, with what only the host knows, as the reports that all see."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from typing import Final

from goldthread.keeper.keeper import Keeper
from goldthread.names import CommitId, Instant, MemberName, Span, seconds
from goldthread.report import (
    BondReport,
    CommitReport,
    Contact,
    HeldReport,
    HeldThere,
    HolderState,
    KeeperReport,
    MemberReport,
    OwnerState,
    Phase,
)
from goldthread.rules.bond_orders import HeldRecord
from goldthread.rules.member import ALIVE, MemberView
from goldthread.rules.partner import BondView
from goldthread.rules.price import HeldStake, OwnedStake, estimate_price
from goldthread.version import VERSION

__all__ = ["bond_report", "exposure", "held_report", "report_keeper"]

_GOES_ON: Final = frozenset({*ALIVE, Phase.WAITING})
_IS_OVER: Final = frozenset({Phase.ABSENT, Phase.ENDED, Phase.AWAY})


def report_keeper(keeper: Keeper, moment: Instant) -> KeeperReport:
    machine = keeper.machine
    members, bonds, helds = machine.views(), machine.bond_views(), machine.held_views()
    return KeeperReport(
        home=str(keeper.home.path),
        pid=os.getpid(),
        version=VERSION,
        age=Span(moment - keeper.began),
        members=tuple(_report_member(keeper, view, bonds, moment) for view in members),
        alarms=keeper.alarms(None),
        id=keeper.keys.me,
        name=keeper.keys.name,
        bonds=tuple(bond_report(view, bonds, members, helds, moment) for view in bonds),
        helds=tuple(held_report(record) for record in helds),
    )


def _report_member(keeper: Keeper, view: MemberView, bonds: Iterable[BondView], moment: Instant) -> MemberReport:
    holder = _holder_of(view, bonds)
    sealed = deposited = None
    if view.sealed is not None:
        sealed = CommitReport(view.sealed.commit, _age(view.sealed_at, moment), view.sealed.bytes)
    if view.deposited is not None:
        deposited = _report_deposit(keeper, view.name, view.deposited)
    return MemberReport(
        name=view.name,
        vitals=view.vitals,
        phase=view.phase,
        reason=view.reason,
        epoch=view.epoch,
        pid=view.pid,
        supervised=view.supervised,
        step=view.step,
        beat_age=_age(view.beat_at, moment),
        sealed=sealed,
        deposited=deposited,
        unsealed=view.unsealed,
        deaths=view.deaths,
        restarts_left=view.restarts_left,
        slot_bytes=keeper.shelf.bytes(view.name),
        alarms=keeper.alarms(view.name),
        owner_state=view.owner_state,
        holder="" if holder is None else holder.name,
        held=_report_held_there(view, moment),
        guard=view.guard,
        vouched=_vouched(view, moment),
        exposed=exposure(view, [bond for bond in bonds if not bond.ended]),
        origin=view.origin,
    )


def _report_deposit(keeper: Keeper, member: MemberName, commit: CommitId) -> CommitReport:
    """The age of a deposit is that of its file: it outlives keepers."""
    found = keeper.vault.deposited_at(member, commit)
    if found is None:
        return CommitReport(commit, None, 0)
    wall, size = found
    return CommitReport(commit, seconds(max(time.time() - wall, 0)), size)


def _report_held_there(view: MemberView, moment: Instant) -> CommitReport | None:
    if view.held is None:
        return None
    return CommitReport(view.held, _age(view.held_at, moment), 0 if view.sealed is None else view.sealed.bytes)


def _holder_of(view: MemberView, bonds: Iterable[BondView]) -> BondView | None:
    return next((bond for bond in bonds if bond.partner == view.holder), None)


def _vouched(view: MemberView, moment: Instant) -> Span | None:
    if view.vouched_until is None or view.phase not in _GOES_ON:
        return None
    return Span(max(view.vouched_until - moment, 0))


def exposure(view: MemberView, bonds: Sequence[BondView]) -> str:
    """Why no other host can be counted on for a member's work; empty where one can, or none should."""
    if not bonds or view.phase in _IS_OVER or (view.sealed is None and view.held is None):
        return ""
    holder = _holder_of(view, bonds)
    if holder is None:
        reasons = "; ".join(_why_not_held(view.name, bond) for bond in bonds)
        return f"no partner holds its copy ({reasons})"
    if holder.contact is Contact.SILENT or view.owner_state is OwnerState.ALONE:
        return f"{holder.name}, which holds its copy, is silent ({holder.reason})"
    if view.held is None:
        return f"its first copy is on its way to {holder.name}"
    return ""


def _why_not_held(member: MemberName, bond: BondView) -> str:
    if bond.contact is Contact.SILENT:
        return f"{bond.name} is silent"
    refused = dict(bond.refusals).get(member, "")
    return f"{bond.name} does not hold it{refused and f': {refused}'}"


def held_report(record: HeldRecord) -> HeldReport:
    is_whole = record.state is HolderState.BONDED and record.commit is not None
    return HeldReport(
        member=record.member,
        partner=record.partner,
        state=record.state,
        reason=f"{record.commit} is whole here" if is_whole else record.reason,
        epoch=record.epoch,
        phase=record.phase,
        guard=record.guard,
        given_up=record.given_up,
        commit=record.commit,
        behind=_behind(record.newest, record.commit),
        bytes=record.bytes,
        bundled=record.bundle != "",
    )


def bond_report(
    bond: BondView,
    bonds: Iterable[BondView],
    members: Iterable[MemberView],
    helds: Iterable[HeldRecord],
    moment: Instant,
) -> BondReport:
    """One of these bonds."""
    others = [one for one in bonds if one.partner != bond.partner and one.contact is not Contact.SILENT]
    there = [view for view in members if view.holder == bond.partner and view.phase is not Phase.AWAY]
    here = [record for record in helds if record.partner == bond.partner]
    return BondReport(
        partner=bond.partner,
        name=bond.name,
        contact=bond.contact,
        reason=bond.reason,
        heard_age=_age(bond.heard_at, moment),
        round_trip=bond.round_trip,
        dialled=bond.is_up,
        mine=bond.mine,
        theirs=bond.theirs,
        room=bond.room,
        held_there=tuple(
            HeldThere(
                member=view.name,
                state=view.owner_state,
                commit=_report_held_there(view, moment),
                behind=_behind(_newest(view), view.held),
                guard=view.guard,
                differences=view.differences,
            )
            for view in there
        ),
        price=estimate_price(
            bond.name,
            [_owned_stake(view, others) for view in there],
            [HeldStake(one.member, _behind(one.newest, one.commit), one.bundle != "", one.given_up) for one in here],
            bond.theirs.cores,
            max((view.rebond for view in members if view.rebond is not None), default=None),
        ),
        ending=bond.ending,
        ended=bond.ended,
        emergency=bond.emergency,
    )


def _owned_stake(view: MemberView, others: Iterable[BondView]) -> OwnedStake:
    """A former holder, too, may have a whole copy still."""
    held = view.sealed.bytes if view.sealed is not None and view.held is not None else 0
    here = (view.sealed is not None) + (view.deposited is not None)
    elsewhere = sum(any(fact.member == view.name and fact.commit for fact in one.held) for one in others)
    return OwnedStake(view.name, held, here, elsewhere)


def _newest(view: MemberView) -> CommitId | None:
    return None if view.sealed is None else view.sealed.commit


def _behind(newest: CommitId | None, copy: CommitId | None) -> int | None:
    """Steps from a copy to the newest commit; None where there is no copy."""
    if copy is None:
        return None
    return 0 if newest is None else max(newest.step - copy.step, 0)


def _age(since: Instant | None, moment: Instant) -> Span | None:
    return Span(moment - since) if since is not None else None
