"""The price: what the death of a partner would cost now.

It is no more than what was bound. The programs here go on; their copies at the partner are gone, so that those without
another copy elsewhere stand exposed until they are bonded again. The partner's programs go on here, from what is held
here. What the partner lent is gone; what it was lent comes back.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from goldthread.names import MemberName, Span
from goldthread.report import PriceReport

__all__ = ["HeldStake", "OwnedStake", "estimate_price"]

_NAMED_MOST = 3
_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


class OwnedStake(msgspec.Struct, frozen=True):
    """A member of this keeper whose copy the partner holds, or is to hold."""

    member: MemberName
    held_bytes: int
    """Of its newest whole copy at the partner; 0 where nothing is held there yet. The second slot there is no copy."""
    left_here: int
    """Whole copies in this host's memory and vault of the newest commit, or of an older one where that is all."""
    left_elsewhere: int
    """Whole copies on hosts other than this one and the partner's."""


class HeldStake(msgspec.Struct, frozen=True):
    """A member of the partner that is held here, or is to be held."""

    member: MemberName
    behind: int | None
    """Steps that the partner has told of and that are not here; None where nothing is held here."""
    bundled: bool = True
    """Whether what is needed to run it is here."""
    is_given_up: bool = True
    """By the partner's word it does not run there: `behind` is all that is missing. Where it runs, nobody here knows
    what it has sealed since."""


def estimate_price(
    name: str, owned: Sequence[OwnedStake], held: Sequence[HeldStake], cores: int, rebond: Span | None
) -> PriceReport:
    """The price of the partner called `name`, which lends `cores`; `rebond` as in `PriceReport`."""
    exposed = [stake for stake in owned if stake.held_bytes and not stake.left_elsewhere]
    copies_left = min((stake.left_here + stake.left_elsewhere for stake in owned), default=0)
    steps = sum(stake.behind for stake in held if stake.behind is not None)
    lost = tuple(stake.member for stake in held if stake.behind is None)
    memory = sum(stake.held_bytes for stake in owned)
    said = (
        _say_exposed(exposed),
        _say_held(held, lost),
        _say_lent(name, memory, cores),
        f"bonding again took {rebond / 1e9:.1f} s last time" if exposed and rebond is not None else "",
    )
    text = "; ".join(sentence for sentence in said if sentence) or "nothing: neither holds anything of the other"
    names = tuple(stake.member for stake in exposed)
    return PriceReport(text, names, copies_left, steps, lost, memory, cores, rebond)


def _say_exposed(exposed: Sequence[OwnedStake]) -> str:
    if not exposed:
        return ""
    left = min(stake.left_here for stake in exposed)
    copies = f"{_count(left, 'copy', 'copies')} left, all here" if left else "no other copy is left"
    return f"{_names([stake.member for stake in exposed])} would go on without a copy on another host ({copies})"


def _say_held(held: Sequence[HeldStake], lost: Sequence[MemberName]) -> str:
    said = []
    kept = [stake for stake in held if stake.behind is not None]
    if ready := [stake for stake in kept if stake.bundled]:
        said.append(f"{_names([stake.member for stake in ready])} could go on here{_say_steps(ready)}")
    if waiting := [stake.member for stake in kept if not stake.bundled]:
        it = _it(waiting)
        said.append(f"{_names(waiting)} would be kept here, and what is needed to run {it} is not here")
    if lost:
        said.append(f"{_names(lost)} would be lost with it: nothing of {_it(lost)} is held here yet")
    return "; ".join(said)


def _say_steps(ready: Sequence[HeldStake]) -> str:
    steps = sum(stake.behind or 0 for stake in ready)
    lost = f"{_count(steps, 'step', 'steps')} lost" if steps else "no step lost"
    if all(stake.is_given_up for stake in ready):
        return f", {lost}"
    return " from what is held" + (f", at least {lost}" if steps else "")


def _say_lent(name: str, memory: int, cores: int) -> str:
    lent = [_size(memory) + " of copies"] if memory else []
    lent += [_count(cores, "core", "cores")] if cores else []
    return f"{' and '.join(lent)} that {name} lends would go" if lent else ""


def _names(members: Sequence[MemberName]) -> str:
    if len(members) > _NAMED_MOST:
        return f"{len(members)} members"
    return " and ".join(filter(None, (", ".join(members[:-1]), members[-1])))


def _it(members: Sequence[MemberName]) -> str:
    return "it" if len(members) == 1 else "them"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _size(count: int) -> str:
    unit, name = next((one for one in _UNITS if count >= one[0]), _UNITS[-1])
    return f"{count / unit:.1f} {name}"
