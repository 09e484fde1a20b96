"""Writes docs/reference/configuration.md from the policy itself: python tests/docs/settings.py"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import msgspec

from goldthread import policy
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
hang_floor = "2min"
vault_free_bytes = "1GiB"
budget = "5/10min"
```

The same by environment: `GOLDTHREAD_HANG_FLOOR=2min`, and so on. Where the keeper's files are is said by
`GOLDTHREAD_HOME`; several keepers live on one machine with several homes.

| name | by default | what it is |
|---|---|---|
"""

SPANS = (("min", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000))


def written() -> str:
    """The page as it should be."""
    return HEAD + "".join(f"| `{name}` | {default} | {text} |\n" for name, default, text in rows())


def rows() -> list[tuple[str, str, str]]:
    """Name, default and meaning of each setting, from the policy's source."""
    tree = ast.parse(inspect.getsource(policy))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Policy")
    meanings = {}
    for at, node in enumerate(body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            following = body[at + 1] if at + 1 < len(body) else None
            told = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            meanings[node.target.id] = " ".join(str(following.value.value).split()) if told else ""
    return [(field.name, said(field.name, field.default), meanings[field.name]) for field in fields()]


def fields() -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(Policy)


def said(name: str, value: object) -> str:
    """A default as a user would write it; that it means the same is checked here."""
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
