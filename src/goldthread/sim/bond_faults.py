"""What may strike between hosts, and what users do there. Each fault is a function of one member's place on one host;
`BOND_FAULTS` says how often each is chosen where there is more than one host."""

from __future__ import annotations

from typing import Final

from goldthread.names import Span, milliseconds, seconds
from goldthread.report import Guard, Phase
from goldthread.rules.bond_events import BondEndAsked, BondForgetAsked, HoldAsked, TakeoverAsked, TermsAsked
from goldthread.sim.faults import Fault, flip, forget, kill_again_and_again, run
from goldthread.sim.host import Host
from goldthread.sim.place import Place
from goldthread.terms import Consent, Terms

__all__ = ["BOND_FAULTS", "decide_if_lost"]

_MS: Final = milliseconds(1)
_BEGINS_ANEW: Final = 0.4
"""How often the user of a member in limbo forgets it."""


def _anyone(place: Place) -> Host:
    """This host or one of its partners."""
    host = place.host
    return host.world.hosts[host.random.choice([host.me, *sorted(host.partners)])]


def _partner(place: Place) -> Host | None:
    host = place.host
    return host.world.hosts[host.random.choice(sorted(host.partners))] if host.partners else None


def _span(place: Place, least: float, most: float) -> Span:
    return seconds(place.host.random.uniform(least, most))


# Hosts


def lose_host(place: Place) -> None:
    """A host goes down, and comes up again."""
    _lose(_anyone(place), _span(place, 0.5, 18))


def lose_host_of_member(place: Place) -> None:
    _lose(place.host, _span(place, 3, 18))


def lose_host_for_good(place: Place) -> None:
    """A host goes down and stays so. One such blow is enough."""
    host = _anyone(place)
    if all(not other.is_lost for other in host.world.hosts.values()):
        host.is_lost = True
        _lose(host, seconds(0))


def _lose(host: Host, span: Span) -> None:
    if host.is_up:
        host.go_down()
        if not host.is_lost:
            host.world.after(span, host.come_up)


def lose_power(place: Place) -> None:
    """Both hosts of a bond go down together, as with one socket."""
    for host in dict.fromkeys((place.host, _anyone(place))):
        _lose(host, _span(place, 1, 8))


def kill_carrier(place: Place) -> None:
    host = _anyone(place)
    host.tell("the carrier dies")
    host.carrier.die()


def flip_held(place: Place) -> None:
    """Bits flip in what a host holds for others."""
    host = _anyone(place)
    held = [slot for berth in host.carrier.berths.values() for slot in berth.slots if slot.commit is not None]
    flip(place, held)


# The network


def cut(place: Place) -> None:
    """The two sides of a bond do not hear each other."""
    other, span = _partner(place), _span(place, 0.3, 15)
    if other is not None:
        place.host.tell(f"the link to {other.name} is cut for {span / 1e9:.1f} s")
        place.host.world.network.cut(place.host, other, span)
        place.host.world.network.cut(other, place.host, span)


def cut_one_way(place: Place) -> None:
    other, span = _partner(place), _span(place, 0.3, 15)
    if other is not None:
        sides = [place.host, other]
        place.host.random.shuffle(sides)
        sides[0].tell(f"nothing comes through to {sides[1].name} for {span / 1e9:.1f} s")
        place.host.world.network.cut(sides[0], sides[1], span)


def isolate(place: Place) -> None:
    """A host hears nobody, and perhaps not even the lease store."""
    host, span = _anyone(place), _span(place, 0.3, 15)
    is_total = host.random.random() < 0.7
    host.tell(f"the host is cut off for {span / 1e9:.1f} s{', from the lease store too' if is_total else ''}")
    for other in host.world.hosts.values():
        if other is not host:
            host.world.network.cut(host, other, span)
            host.world.network.cut(other, host, span)
    if is_total:
        host.world.registers.cut(host, span)


def bad_weather(place: Place) -> None:
    """Messages are lost, late, and come twice, everywhere."""
    host, random = place.host, place.host.random
    network, span = host.world.network, _span(place, 1, 12)
    network.loss, network.replay = random.uniform(0, 0.4), random.uniform(0, 0.4)
    network.lag = random.choice((3, 30, 150)) * _MS
    host.world.tell(f"bad weather for {span / 1e9:.1f} s: {network.loss:.2f} lost, lag {network.lag / 1e6:.0f} ms")
    host.world.after(span, network.calm)


# The lease store


def stop_store(place: Place) -> None:
    span = _span(place, 0.3, 15)
    place.host.world.tell(f"the lease store is out for {span / 1e9:.1f} s")
    place.host.world.registers.cut(None, span)


def cut_store(place: Place) -> None:
    host, span = _anyone(place), _span(place, 0.3, 15)
    host.tell(f"the lease store is out of reach for {span / 1e9:.1f} s")
    host.world.registers.cut(host, span)


def slow_store(place: Place) -> None:
    """It answers late, and what it has done it does not always say."""
    registers, span = place.host.world.registers, _span(place, 1, 12)
    registers.lag = place.host.random.choice((50, 300, 900)) * _MS
    registers.forgetful = place.host.random.uniform(0, 0.6)
    place.host.world.tell(f"the lease store is slow for {span / 1e9:.1f} s: {registers.lag / 1e6:.0f} ms")
    place.host.world.after(span, registers.calm)


# What users do


def wait_until_held(place: Place) -> None:
    """The program waits until its newest commit is held: `commit(wait="held")`."""
    host = place.host
    sealed = [program.newest for program in place.programs if program.newest is not None and program.is_met]
    newest = max(sealed, default=None)
    if newest is not None and host.answers:
        host.read_pulses(place)
        ticket = host.world.ticket()
        host.hands.waits[ticket] = (place, newest)
        host.give(HoldAsked(ticket, place.name))


def hand_over(place: Place) -> None:
    """`goldthread takeover NAME --to PARTNER`."""
    other = _partner(place)
    if other is not None:
        place.host.tell(f"the user hands {place.name} over to {other.name}")
        place.host.give(TakeoverAsked(place.host.world.ticket(), place.name, other.me))


def limbo_and_restart(place: Place) -> None:
    """The program dies until its budget is spent; its user may forget it then, and begin anew."""
    for _ in range(3):
        kill_again_and_again(place)
    if place.host.random.random() < _BEGINS_ANEW:
        place.host.after(_span(place, 4, 9), _begin_anew, place)


def _begin_anew(place: Place) -> None:
    """Wherever it is in limbo by now."""
    for each in place.host.world.places(place.work):
        record = each.host.journal.members.get(place.name)
        if each.host.answers and record is not None and record.phase is Phase.LIMBO:
            place.work.asked_fresh = True
            forget(each)
            each.host.after(seconds(1), run, each)


def decide_if_lost(place: Place) -> None:
    """A person sees that a host is gone, and decides where it is held or owned: `goldthread takeover NAME`."""
    world, by_word_alone = place.host.world, False
    down = [host.me for host in world.hosts.values() if not host.is_up]
    for host in world.hosts.values():
        record = host.journal.members.get(place.name)
        berths = (host.carrier.berths.get((partner, place.name)) for partner in down)
        is_held = any(berth is not None and berth.work is place.work for berth in berths)
        is_owned = record is not None and any(not world.hosts[claimant].is_up for claimant in record.claimants)
        known = (one.host.journal.members.get(place.name) for one in world.places(place.work))
        is_nobodys = record is not None and all(one is None or one.phase is Phase.AWAY for one in known)
        if host.answers and (is_held or is_owned or is_nobodys):
            host.tell(f"the user decides that {place.name} goes on here")
            helds = (held for (_, name), held in host.journal.helds.items() if name == place.name)
            by_word_alone |= is_owned or is_nobodys or any(held.guard is not Guard.LEASE for held in helds)
            place.work.decided = by_word_alone  # Also where another host needs the lease for it.
            host.give(TakeoverAsked(world.ticket(), place.name, host.me))


def end_bond(place: Place) -> None:
    """A user ends a bond, and ties it again: on second thoughts, or after a side has forgotten the other."""
    host, other = place.host, _partner(place)
    if other is not None:
        host.tell(f"the user ends the bond with {other.name}")
        host.give(BondEndAsked(host.world.ticket(), other.me))
        tie = _tie_again if host.random.random() < 0.5 else _tie_anew
        host.world.after(_span(place, 1, 6), tie, host, other)


def _tie_again(host: Host, other: Host) -> None:
    """An invitation of a keeper that is known, and its acceptance."""
    here, there = host.journal.bonds.get(other.me), other.journal.bonds.get(host.me)
    if _reach(host, other) and here is not None and there is not None:
        host.tell(f"the user ties the bond with {other.name} again")
        host.tie(other, here.mine, there.mine)
        other.tie(host, there.mine, here.mine)


def _tie_anew(host: Host, other: Host) -> None:
    """After a bond that is over on both sides was forgotten by one, by both, or by none."""
    pairs = [(host, other), (other, host)]
    bonds = [one.journal.bonds.get(partner.me) for one, partner in pairs]
    if not (_reach(host, other) and all(bond is not None and bond.ended for bond in bonds)):
        return
    for one, partner in host.random.choice((pairs, pairs[:1], pairs[1:], [])):
        one.tell(f"the user forgets {partner.name}")
        one.give(BondForgetAsked(one.world.ticket(), partner.me))
    host.tell(f"the user ties a bond with {other.name} anew")
    for one, partner in pairs:
        one.tie(partner, Terms(), Terms())


def _reach(host: Host, other: Host) -> bool:
    return host.answers and other.answers and host.world.network.reaches(host, other)


def change_terms(place: Place) -> None:
    other = _partner(place)
    if other is not None:
        terms = Terms(takeover=place.host.random.choice((Consent.YES, Consent.YES, Consent.ASK)))
        place.host.tell(f"the user changes the terms for {other.name}: takeover {terms.takeover.value}")
        place.host.give(TermsAsked(place.host.world.ticket(), other.me, terms))


BOND_FAULTS: Final[tuple[tuple[Fault, int], ...]] = (
    (lose_host, 10),
    (lose_host_of_member, 12),
    (lose_host_for_good, 4),
    (lose_power, 2),
    (kill_carrier, 4),
    (flip_held, 4),
    (cut, 10),
    (cut_one_way, 8),
    (isolate, 10),
    (bad_weather, 6),
    (stop_store, 6),
    (cut_store, 6),
    (slow_store, 5),
    (wait_until_held, 20),
    (hand_over, 8),
    (limbo_and_restart, 4),
    (decide_if_lost, 4),
    (end_bond, 1),
    (change_terms, 2),
)
