"""Whether a dead life is followed by another, when, and from how far back.

Most deaths are bad luck: the next life starts at once. Deaths that bring nothing new are delayed more and more, and
too many within the budget's period mean that starting again will not help. A death that repeats exactly, at the same
step, is a wound in the state itself: then the next life starts from an older commit.

Before the first commit there is no state that could be wounded. A name that is not defined or an option that is not
known then ends every life just so, and its user waits for none: the second such death is the last. Other deaths may
be bad luck even then (a port that is still taken, a device that is busy) and have their budget.
"""

from __future__ import annotations

from typing import Final

import msgspec

from goldthread.names import Epoch, Instant, Span, Step
from goldthread.policy import Budget, Policy
from goldthread.report import Ending, EndingKind
from goldthread.rules.orders import Ceiling, Wound

__all__ = ["Restart", "deaths_within", "decide_restart", "find_wound", "is_written_wrong", "wound_ceiling"]

_NO_WOUND = frozenset(
    {EndingKind.STOPPED, EndingKind.HOST_RESTARTED, EndingKind.UNKNOWN, EndingKind.FINISHED, EndingKind.UNVOUCHED}
)

_WRITTEN_WRONG: Final = frozenset(
    {
        "AttributeError", "ImportError", "IndentationError", "ModuleNotFoundError", "NameError", "SyntaxError",
        "TabError", "TypeError", "UnboundLocalError",
    }
)  # fmt: skip
"""Exceptions that tell of the program's text."""
_CALLED_WRONG: Final = frozenset({2, 64, 126, 127})
"""How programs end that do not understand how they were called: argparse and Python itself, sysexits, shells."""


class Restart(msgspec.Struct, frozen=True):
    """What follows a death."""

    delay: Span | None
    """None: nothing, the budget is spent."""
    deaths: tuple[Instant, ...]
    futile: int
    reason: str


def deaths_within(deaths: tuple[Instant, ...], budget: Budget, now: Instant) -> tuple[Instant, ...]:
    """The deaths that the budget still counts."""
    return tuple(death for death in deaths if now - death < budget.period)


def decide_restart(
    deaths: tuple[Instant, ...], futile: int, progressed: bool, budget: Budget, policy: Policy, now: Instant
) -> Restart:
    """Decide after one more death `now`, where `futile` deaths in a row before it brought nothing new."""
    counted = (*deaths_within(deaths, budget, now), now)
    if len(counted) > budget.restarts:
        count = f"{len(counted)} deaths" if len(counted) > 1 else "one death"
        return Restart(None, counted, futile, f"{count}, and the budget is {budget}")
    if progressed:
        return Restart(Span(0), counted, 0, "it starts again at once")
    futile += 1
    if futile == 1:
        return Restart(Span(0), counted, futile, "it starts again at once")
    delay = Span(min(policy.restart_delay << min(futile - 2, 40), policy.restart_delay_most))
    reason = f"{futile} deaths in a row brought no new commit, so it starts again in {delay / 1e9:g} s"
    return Restart(delay, counted, futile, reason)


def find_wound(before: Wound | None, ending: Ending, step: Step | None) -> Wound | None:
    """What is remembered of a death at `step`, so that its repetition is known. None: it says nothing."""
    if ending.kind in _NO_WOUND:
        return None
    fingerprint = ending.fingerprint or ending.kind.value
    same = before is not None and before.fingerprint == fingerprint and before.step == step
    return Wound(fingerprint, step, before.count + 1 if same and before is not None else 1)


def is_written_wrong(wound: Wound | None, ending: Ending) -> bool:
    """Whether a death, before the first commit, came twice the same from how the program is written or called."""
    if wound is None or wound.count < 2:
        return False
    if ending.kind is EndingKind.EXIT:
        return ending.status in _CALLED_WRONG
    return ending.kind is EndingKind.EXCEPTION and ending.text.partition(":")[0] in _WRITTEN_WRONG


def wound_ceiling(wound: Wound | None, epoch: Epoch, restored: Step | None) -> Ceiling | None:
    """From where the next life starts if the death of life `epoch`, restored from step `restored`, is a wound."""
    if wound is None or wound.count < 2 or restored is None:
        return None
    reason = f"it died {wound.count} times in a row of the same ({wound.fingerprint}) at step {wound.step}"
    return Ceiling(epoch, restored, asked=False, reason=reason)
