"""The page of settings is that of the sources."""

from __future__ import annotations

from settings import PAGE, SECTIONS, rows, written


def test_the_page_is_what_the_sources_say() -> None:
    """Rewritten by `python tests/docs/settings.py`."""
    assert PAGE.read_text() == written()


def test_every_setting_is_explained() -> None:
    found = [row for _, module, kind in SECTIONS for row in rows(module, kind)]
    assert [name for name, _, meaning in found if not meaning] == []
