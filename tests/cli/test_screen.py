"""What every command's output is made of."""

from __future__ import annotations

import io

import pytest

from goldthread.cli.screen import ago, amount, lasting, paint, size
from goldthread.names import Span, milliseconds, seconds


@pytest.mark.parametrize(
    ("span", "shown"),
    [
        (Span(0), "0.0 ms"),
        (milliseconds(0.35), "0.3 ms"),
        (milliseconds(24), "24 ms"),
        (milliseconds(390), "390 ms"),
        (seconds(3.14), "3.1 s"),
        (seconds(65), "65 s"),
        (seconds(240), "4 min"),
        (seconds(3 * 3600), "3 h"),
        (seconds(80 * 3600), "3 days"),
    ],
)
def test_a_length_of_time_has_about_two_digits(span: Span, shown: str) -> None:
    assert lasting(span) == shown


@pytest.mark.parametrize(
    ("span", "shown"),
    [
        (Span(0), "0.1 s ago"),
        (milliseconds(240), "0.2 s ago"),
        (seconds(9.9), "9.9 s ago"),
        (seconds(180), "3 min ago"),
    ],
)
def test_an_age_is_never_finer_than_what_a_reader_sees(span: Span, shown: str) -> None:
    assert ago(span) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3 << 20, "3.0 MiB"), (1 << 30, "1.0 GiB"), (5 << 40, "5.0 TiB")],
)
def test_a_size_is_in_powers_of_1024(count: int, shown: str) -> None:
    assert size(count) == shown


def test_amounts_agree_with_their_nouns() -> None:
    assert [amount(1, "step"), amount(0, "step"), amount(1200, "step")] == ["1 step", "0 steps", "1,200 steps"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_is_for_terminals_without_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert paint("well", "green", stream=Terminal()) == "\x1b[32mwell\x1b[0m"
    assert paint("well", "green", stream=io.StringIO()) == "well"
    monkeypatch.setenv("NO_COLOR", "1")
    assert paint("well", "green", stream=Terminal()) == "well"
