"""What commands take: members, spans of time, restart budgets; and where the keeper's home is."""

from __future__ import annotations

import re
from typing import Any, Final

import click

from goldthread.errors import UsageError
from goldthread.names import MemberName, Span, member_name, seconds
from goldthread.policy import Budget

__all__ = ["BUDGET", "MEMBER", "SPAN", "json_option", "parse_budget", "parse_span"]

_UNITS: Final = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")


def parse_span(text: str) -> Span:
    """`500ms`, `90s`, `90`, `10m`, `1.5h`. Raises `UsageError`."""
    match = _SPAN.fullmatch(text.strip())
    if match is None or match[2] not in _UNITS:
        raise UsageError(f"{text!r} is no span of time", hint="write it as 500ms, 90s, 10m or 1.5h")
    return seconds(float(match[1]) * _UNITS[match[2]])


def parse_budget(text: str) -> Budget:
    """`N`, or `N/PERIOD`: `3`, `5/10m`. Raises `UsageError`."""
    count, slash, period = text.partition("/")
    if not count.strip().isdecimal():
        raise UsageError(f"{text!r} is no restart budget", hint="write a count, or a count and a period: 5 or 5/10m")
    return Budget(int(count), parse_span(period)) if slash else Budget(int(count))


class _Member(click.ParamType[MemberName]):
    name = "member"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> MemberName:
        return member_name(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        from goldthread.local import Home

        folder = Home.default().path / "members"
        names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


class _Span(click.ParamType[Span]):
    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Span:
        return parse_span(value) if isinstance(value, str) else value


class _Budget(click.ParamType[Budget]):
    name = "n[/period]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Budget:
        return parse_budget(value) if isinstance(value, str) else value


MEMBER: Final = _Member()
SPAN: Final = _Span()
BUDGET: Final = _Budget()
json_option = click.option("--json", "as_json", is_flag=True, help="Give the same facts as JSON.")
