"""Whether two keepers can talk: of two ranges of protocols that overlap the highest common one is spoken."""

from __future__ import annotations

from goldthread.errors import PartnerError
from goldthread.wire.bonds import Greeting

__all__ = ["check_protocol"]


def check_protocol(mine: Greeting, theirs: Greeting) -> int:
    """The protocol that both speak. Raises `PartnerError` that names both sides where there is none."""
    common = min(mine.protocol, theirs.protocol)
    if common >= max(mine.protocol_oldest, theirs.protocol_oldest):
        return common
    raise PartnerError(
        f"{mine.name} and {theirs.name} have no protocol in common: {_describe(mine)}, {_describe(theirs)}",
        hint="install the same version of goldthread on both hosts",
    )


def _describe(greeting: Greeting) -> str:
    oldest, newest = greeting.protocol_oldest, greeting.protocol
    span = f"{newest}" if oldest == newest else f"{oldest} to {newest}"
    return f"{greeting.name} speaks {span} (goldthread {greeting.version})"
