"""What commands take: members, partners, spans of time, restart budgets."""

from __future__ import annotations

from typing import Any, Final

import click

from goldthread.config import parse_budget, parse_span
from goldthread.names import MemberName, Span, member_name
from goldthread.policy import Budget

__all__ = ["BUDGET", "MEMBER", "PARTNER", "SPAN", "json_option"]


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


class _Partner(click.ParamType[str]):
    """A partner by its name, or by the first digits of its identity; `find_partner` finds it."""

    name = "partner"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        from goldthread.keeper.journal import Journal
        from goldthread.local import Home

        journal = Journal.look(Home.default().journal)
        if journal is None:
            return []
        names = [bond.name for bond in journal.bonds()]
        journal.close()
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
PARTNER: Final = _Partner()
SPAN: Final = _Span()
BUDGET: Final = _Budget()
json_option = click.option("--json", "as_json", is_flag=True, help="Give the same facts as JSON.")
