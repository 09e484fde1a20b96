"""Who holds whose copies: partners that share no failure domain, an even load, and few changes.

A host and its partner are tied in both directions, so the best circle over many hosts is one of pairs: of all ways to
keep two copies it has the fewest sets of hosts whose common loss loses a state (GEMINI, SOSP 2023, calls it group
placement). An odd host makes a circle of three with one pair (their mixed placement). The circle is not drawn anew
when a host comes or goes: what still stands is kept, the rest is tied among itself, and a standing pair is opened only
where the rest could not be tied without it. Rejected: hashing hosts onto a ring, where every arrival moves copies of
hosts that have nothing to do with it, and labels are met by chance.

A *label* names what fails together (a rack, a power feed). A host without one is a failure domain by itself. Where one
label has more than half of all hosts, those of its hosts that are left over are tied to each other: a partner in the
same domain is better than none, and better than one that holds for many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from goldthread.names import KeeperId

__all__ = [
    "Candidate",
    "Host",
    "RankedHolder",
    "arrange_circle",
    "rank_holders",
]

# The holder of one member


class Candidate(msgspec.Struct, frozen=True):
    """A bonded keeper that could hold a member."""

    keeper: KeeperId
    label: str
    room: int
    """Bytes that are left of the memory that it lends to this keeper."""
    load: int
    """Members of this keeper that it holds, or is to hold, already."""


class RankedHolder(msgspec.Struct, frozen=True):
    keeper: KeeperId
    reason: str
    """Why it stands where it stands: `it is in another failure domain (rack 2) and holds 2 others`."""


def rank_holders(
    candidates: Iterable[Candidate], label: str, needed: int, present: KeeperId | None = None
) -> tuple[RankedHolder, ...]:
    """The keepers that can hold a member of a host with `label`, best first; `needed` bytes, all slots counted.

    Another failure domain comes before the same, then the present holder (a copy is not moved for the load alone),
    then the lighter load, then more room. Whoever has too little room is left out.
    """

    def rank(candidate: Candidate) -> tuple[bool, bool, int, int, KeeperId]:
        shares = _shares(candidate.label, label)
        return shares, candidate.keeper != present, candidate.load, -candidate.room, candidate.keeper

    fit = [candidate for candidate in candidates if candidate.room >= needed]
    return tuple(RankedHolder(one.keeper, _explain(one, label, present)) for one in sorted(fit, key=rank))


def _explain(candidate: Candidate, label: str, present: KeeperId | None) -> str:
    if _shares(candidate.label, label):
        where = f"shares this host's failure domain ({label})"
    else:
        where = f"is in another failure domain ({candidate.label or 'its own'})"
    load = "it already" if candidate.keeper == present else f"{candidate.load} others"
    return f"it {where} and holds {load}"


# The circle


class Host(msgspec.Struct, frozen=True):
    keeper: KeeperId
    label: str


Pair = tuple[KeeperId, KeeperId]
Test = Callable[[KeeperId, KeeperId], bool]


def arrange_circle(hosts: Iterable[Host], before: Mapping[KeeperId, KeeperId]) -> dict[KeeperId, KeeperId]:
    """The holder of each host, where `before` stood until now. A lone host has none.

    Each host holds for exactly one other. When one host comes or goes, at most five of the others get another holder.
    """
    labels = {host.keeper: host.label for host in hosts}
    free = set(labels)

    def differ(one: KeeperId, other: KeeperId) -> bool:
        return not _shares(labels[one], labels[other])

    pairs = _tie_again(free, before, differ)
    pairs += _tie(free, differ)
    _open_pairs(free, pairs, labels)
    pairs += _tie_again(free, before, lambda one, other: True)
    pairs += _tie(free, lambda one, other: True)
    circle = {one: other for pair in pairs for one, other in (pair, pair[::-1])}
    if free and pairs:
        circle |= _close_three(free.pop(), pairs, before, differ)
    return circle


def _shares(one: str, other: str) -> bool:
    return one != "" and one == other


def _tie_again(free: set[KeeperId], before: Mapping[KeeperId, KeeperId], fits: Test) -> list[Pair]:
    """Tie those free hosts of which one holds for the other already."""
    tied = []
    for one in sorted(free):
        other = before.get(one)
        if other is not None and other != one and {one, other} <= free and fits(one, other):
            tied.append((one, other))
            free -= {one, other}
    return tied


def _tie(free: set[KeeperId], fits: Test) -> list[Pair]:
    """Tie free hosts as they come, as long as any two fit."""
    tied = []
    waiting = sorted(free)
    while waiting:
        one = waiting.pop(0)
        other = next((other for other in waiting if fits(one, other)), None)
        if other is not None:
            waiting.remove(other)
            tied.append((one, other))
            free -= {one, other}
    return tied


def _open_pairs(free: set[KeeperId], pairs: list[Pair], labels: Mapping[KeeperId, str]) -> None:
    """The free hosts are all of one label by now. Each two of them open one pair of others, as long as there is one."""
    label = labels[min(free)] if free else ""
    apart = [pair for pair in pairs if all(labels[host] != label for host in pair)]
    for pair in apart[: len(free) // 2]:
        pairs.remove(pair)
        for host in pair:
            one = min(free)
            free.remove(one)
            pairs.append((one, host))


def _close_three(
    odd: KeeperId, pairs: Iterable[Pair], before: Mapping[KeeperId, KeeperId], differ: Test
) -> dict[KeeperId, KeeperId]:
    """The odd host joins a pair, and each of the three holds for the next, around.

    Of all ways one with the fewest partners in one domain; of those, the one that changes least."""

    def cost(way: dict[KeeperId, KeeperId]) -> tuple[int, int]:
        shared = sum(not differ(host, holder) for host, holder in way.items())
        return shared, sum(before.get(host) != holder for host, holder in way.items())

    ways = [{one: other, other: odd, odd: one} for pair in pairs for one, other in (pair, pair[::-1])]
    return min(ways, key=cost)
