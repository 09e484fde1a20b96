"""Writes docs/reference/configuration.md from the sources: python tests/docs/settings.py"""

from __future__ import annotations

import ast
import inspect
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import msgspec

from goldthread import config, policy
from goldthread.config import parse_bytes, parse_span
from goldthread.policy import Budget, Policy

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "configuration.md"

HEAD = """# Configuration

Nothing must be configured. What can be stands in the keeper's home in `goldthread.toml` (or in the file that
`GOLDTHREAD_CONFIG` names), or in the environment of whoever starts the keeper; the environment counts more. A keeper
reads it once, when it begins: `goldthread keeper stop` and `goldthread keeper start` make it read again. What is not
understood is refused.

```toml
[policy]
preset = "fast"
hang_floor = "2min"
vault_free_bytes = "1GiB"
budget = "5/10min"

[keeper]
name = "iruka"
lease_store = "etcd://one:2379,two:2379,three:2379/goldthread"
listen = ":7447"
addresses = ["iruka:7447", "10.0.0.2:7447"]
```

The same by environment: `GOLDTHREAD_HANG_FLOOR=2min`, `GOLDTHREAD_NAME=iruka`, and so on, where a list has commas.
Where the keeper's files are is said by `GOLDTHREAD_HOME`; several keepers live on one machine with several homes.

"""

SECTIONS = (
    ("## [keeper]: who it is, and where it meets others", config, config.Settings),
    ("## [policy]: every number that a decision uses", policy, Policy),
)

TABLE = """

| name | by default | what it is |
|---|---|---|
"""

PRESETS = """
## Presets

`preset` in `[policy]` stands for several numbers. A single number stands above it, wherever it is said.

"""

SPANS = (("min", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000))


def written() -> str:
    """The page as it should be."""
    tables = (title + TABLE + "".join(map(row, rows(*place))) for title, *place in SECTIONS)
    return HEAD + "\n".join(tables) + PRESETS + "\n".join(map(preset, policy.PRESETS))


def row(cells: tuple[str, str, str]) -> str:
    name, default, text = cells
    return f"| `{name}` | {default} | {text} |\n"


def rows(module: ModuleType, kind: type[msgspec.Struct]) -> list[tuple[str, str, str]]:
    """Name, default and meaning of each setting, from their source."""
    tree = ast.parse(inspect.getsource(module))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == kind.__name__)
    meanings = {}
    for at, node in enumerate(body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            meanings[node.target.id] = text_of(body[at + 1]) if at + 1 < len(body) else ""
    fields = msgspec.structs.fields(kind)
    return [(field.name, said(field.name, field.default), meanings[field.name]) for field in fields]


def text_of(node: ast.stmt) -> str:
    """What a bare string in the source says."""
    told = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return " ".join(str(node.value.value).split()) if told else ""


def preset(name: str) -> str:
    """What one preset is for, and its numbers."""
    body = ast.parse(inspect.getsource(policy)).body
    said_of_all = next(text_of(after) for before, after in pairwise(body) if ast.unparse(before).startswith("PRESETS"))
    meaning = said_of_all.partition(f"`{name}`: ")[2]
    numbers = ", ".join(f"`{field}` {said(field, value)}" for field, value in policy.PRESETS[name].items())
    return f"`{name}`: {meaning} {numbers}.\n"


def said(name: str, value: object) -> str:
    """A default as a user would write it; that it means the same is checked here."""
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Budget):
        return f"{value.restarts}/{value.period // SPANS[0][1]}min"
    if name.endswith("_bytes"):
        assert isinstance(value, int)
        text = f"{value >> 20}MiB"
        assert parse_bytes(text) == value
        return text
    if isinstance(value, int) and value >= SPANS[-1][1]:
        unit, length = next((unit, length) for unit, length in SPANS if value % length == 0)
        text = f"{value // length}{unit}"
        assert parse_span(text) == value
        return text
    return str(value)


if __name__ == "__main__":
    PAGE.write_text(written())
