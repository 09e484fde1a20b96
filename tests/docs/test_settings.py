"""The page of settings is the policy's own."""

from __future__ import annotations

from settings import PAGE, rows, written


def test_the_page_is_what_the_policy_says() -> None:
    """Rewritten by `python tests/docs/settings.py`."""
    assert PAGE.read_text() == written()


def test_every_setting_is_explained() -> None:
    assert [name for name, _, meaning in rows() if not meaning] == []
