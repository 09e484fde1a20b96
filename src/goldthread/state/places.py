"""How the places of things in a state are written."""

from __future__ import annotations

from typing import Final

__all__ = ["in_brackets"]

_SIGNS_MOST: Final = 120


def in_brackets(name: object) -> str:
    """As an item: `["key"]`, `[3]`; what cannot be written, such as an int of a million digits, by its type."""
    if isinstance(name, str):
        return f'["{name}"]'
    try:
        text = repr(name)
    except Exception:  # The program's own code.
        text = f"<{type(name).__qualname__}>"
    return f"[{text if len(text) <= _SIGNS_MOST else f'{text[:_SIGNS_MOST]}...'}]"
