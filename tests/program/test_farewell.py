"""What a program that ends by an exception says of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import goldthread
from goldthread.local import Home
from goldthread.program.farewell import Farewell
from goldthread.wire.messages import RaisedNote

Note = Callable[[BaseException], RaisedNote]


@pytest.fixture
def note(tmp_path: Path) -> Note:
    """What is told of an exception that is raised."""

    def tell_of(error: BaseException) -> RaisedNote:
        notes: list[RaisedNote] = []
        farewell = Farewell(notes.append, lambda: None, tmp_path / "stacks")
        try:
            raise error
        except type(error) as raised:
            farewell.tell_of(raised)
            farewell.tell_of(ValueError("one that follows"))
        finally:
            farewell.close()
        (told,) = notes
        return told

    return tell_of


class Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_what_a_group_holds_is_told(note: Note) -> None:
    """In a program of tasks the group itself says only how many failed."""
    told = note(
        ExceptionGroup("tasks failed", [_raised(ValueError("x is -3")), ExceptionGroup("more", [OSError("y")])])
    )
    assert (told.error, told.message) == ("ExceptionGroup", "tasks failed (2 sub-exceptions)")
    assert "behind it: ValueError: x is -3\n" in told.frames
    assert "behind it: OSError: y\n" in told.frames
    assert told.place.endswith(":_raised")


def test_the_cause_of_an_exception_is_told(note: Note) -> None:
    error = RuntimeError("no step")
    error.__cause__ = _raised(ZeroDivisionError("division by zero"))
    told = note(error)
    assert told.message == "no step"
    assert "behind it: ZeroDivisionError: division by zero\n" in told.frames
    assert told.place.endswith(":tell_of")
    error.__cause__, error.__suppress_context__ = None, True
    assert "behind it" not in note(error).frames


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (Speechless(), "<exception str() failed>"),
        (ValueError("half a sign: \udc80"), "half a sign: \\udc80"),
        (ValueError("x" * 50_000), "x" * 20_000),
    ],
    ids=["that cannot be told", "of bytes that are no text", "without end"],
)
def test_an_exception_reaches_the_caller_whatever_it_says(
    home: Home, error: Exception, message: str, note: Note
) -> None:
    """Telling of it never puts another one in its place."""
    with pytest.raises(type(error)) as caught, goldthread.join("walk", generators=False):
        raise error
    assert caught.value is error
    assert note(error).message == message


def _raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as raised:
        return raised
