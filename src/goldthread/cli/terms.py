"""Terms on the command line: the options that give them, and the words that tell them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click
import msgspec

from goldthread.cli.screen import size
from goldthread.config import parse_bytes
from goldthread.terms import Consent, Terms, WithoutLeaseStore

__all__ = ["memory_warning", "terms_from", "terms_options", "terms_rows", "terms_words"]


class _Size(click.ParamType[int]):
    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        return parse_bytes(value.removesuffix("/s")) if isinstance(value, str) else value


_YES_NO: Final = {"yes": True, "no": False}

_OPTIONS: Final = (
    click.option("--memory", type=_Size(), help="Memory for the other side's copies, all slots counted."),
    click.option("--cores", type=click.IntRange(min=0), metavar="N", help="Cores lent to the other side's programs."),
    click.option(
        "--bandwidth", type=_Size(), help="What copies to the other side may take each second; 0: what can be spared."
    ),
    click.option(
        "--takeover",
        type=click.Choice([consent.value for consent in Consent]),
        help="Whether members held here are taken over when their host is lost; ask: only when a person says so.",
    ),
    click.option(
        "--emergency",
        type=click.Choice(list(_YES_NO)),
        help="Whether keepers in need that are known here, and have no bond, are answered.",
    ),
    click.option(
        "--without-lease-store",
        type=click.Choice([choice.value for choice in WithoutLeaseStore]),
        help="What a lost link means for members of this host where no lease store vouches: they go on (hold), or stop"
        " and are taken over (yield).",
    ),
)

_MADE: Final[dict[str, Callable[[str], Any]]] = {
    "takeover": Consent,
    "emergency": _YES_NO.__getitem__,
    "without_lease_store": WithoutLeaseStore,
}
"""How the value of an option becomes that of a term, where they differ."""


def terms_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options by which a command takes terms; those that are not given are None."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def terms_from(before: Terms, given: dict[str, Any]) -> Terms:
    """The terms of before with what was given in their place."""
    changes = {name: value for name, value in given.items() if value is not None}
    for name, made in _MADE.items():
        if name in changes:
            changes[name] = made(changes[name])
    return msgspec.structs.replace(before, **changes)


def memory_warning(terms: Terms, whole: int | None) -> str:
    """What to say where more memory is lent than this host has; empty where it is not."""
    if whole is None or terms.memory <= whole:
        return ""
    return f"this host lends {size(terms.memory)} of memory and has {size(whole)}: what does not fit is not held"


def terms_words(terms: Terms) -> str:
    """`memory 4.0 GiB, cores 0, bandwidth what can be spared, takeover yes, ...`."""
    return ", ".join(f"{term} {value}" for term, value in terms_rows(terms))


def terms_rows(terms: Terms) -> list[tuple[str, str]]:
    """Each term by the name of its option, and its value."""
    return [
        ("memory", size(terms.memory)),
        ("cores", str(terms.cores)),
        ("bandwidth", f"{size(terms.bandwidth)}/s" if terms.bandwidth else "what can be spared"),
        ("takeover", terms.takeover.value),
        ("emergency", "yes" if terms.emergency else "no"),
        ("without-lease-store", terms.without_lease_store.value),
    ]
