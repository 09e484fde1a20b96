"""Every end of a life, and what is said of it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from goldthread.keeper.cause import OomEvidence, classify, not_started
from goldthread.report import EndingKind
from goldthread.wire.messages import RaisedNote

NEGATIVE = RaisedNote("ValueError", "x is -3", "frames", "train.py:7:advance")


def run(code: str) -> tuple[int, str]:
    """A program's exit status, and the end of what it wrote to standard error."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("code", "error"), [("def f(:\n    pass\n", "SyntaxError"), ("if 1:\npass\n", "IndentationError")]
)
def test_a_program_that_python_cannot_read_is_explained(code: str, error: str, tmp_path: Path) -> None:
    """Python writes no traceback then: it has run nothing."""
    script = tmp_path / "bad.py"
    script.write_text(code)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    ending = classify(done.returncode, last_words=f"some noise\n{done.stderr}")
    assert ending.kind is EndingKind.EXCEPTION
    assert ending.text.startswith(f"{error}: ")
    assert ending.fingerprint.startswith(f"exception: {error} at {script}:")
    assert ending.detail.startswith(f'  File "{script}"') and "noise" not in ending.detail


def test_a_program_that_returns_zero_has_finished() -> None:
    """Also where it raised something on its way and went on."""
    assert classify(0).kind is EndingKind.FINISHED
    assert classify(0, NEGATIVE).kind is EndingKind.FINISHED
    assert classify(0).fingerprint == ""


def test_an_exit_with_a_status_is_told_as_that() -> None:
    """`sys.exit(3)` is an exception only to Python."""
    ending = classify(3, RaisedNote("SystemExit", "3", "frames", "train.py:7:main"))
    assert (ending.kind, ending.text, ending.detail) == (EndingKind.EXIT, "exit status 3", "frames")
    said = classify(1, RaisedNote("SystemExit", "no such\nfile", "frames", "train.py:7:main"))
    assert said.text == "exit status 1: no such file"
    assert said.fingerprint == "exit status: 1"


@pytest.mark.parametrize("status", [1, None], ids=["seen by a shim", "seen from outside"])
def test_what_the_program_said_of_its_exception_is_believed(status: int | None) -> None:
    """Type, message, frames; the message is not part of the fingerprint."""
    ending = classify(status, NEGATIVE, last_words="Traceback (most recent call last):\nKeyError: other")
    assert ending.kind is EndingKind.EXCEPTION
    assert ending.text == "ValueError: x is -3"
    assert ending.detail == "frames"
    assert ending.status == status
    assert ending.fingerprint == "exception: ValueError at train.py:7:advance"


def test_the_same_exception_with_another_number_is_the_same_death() -> None:
    """And one raised elsewhere is another."""
    same = RaisedNote("ValueError", "x is -4", "others", NEGATIVE.place)
    elsewhere = RaisedNote("ValueError", "x is -3", "frames", "train.py:8:advance")
    assert classify(1, same).fingerprint == classify(1, NEGATIVE).fingerprint
    assert classify(1, elsewhere).fingerprint != classify(1, NEGATIVE).fingerprint


@pytest.mark.parametrize(
    "error", ["MemoryError", "numpy._core._exceptions._ArrayMemoryError", "torch.OutOfMemoryError"]
)
def test_an_allocation_that_failed_is_out_of_memory(error: str) -> None:
    """Whoever raised it."""
    ending = classify(1, RaisedNote(error, "Unable to allocate 3 GiB", "", "train.py:7:advance"))
    assert ending.kind is EndingKind.OUT_OF_MEMORY
    assert ending.fingerprint == f"out of memory: {error} at train.py:7:advance"


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGHUP])
def test_a_signal_is_called_by_its_name(number: signal.Signals) -> None:
    """Number and name."""
    ending = classify(-number)
    assert ending.kind is EndingKind.SIGNAL
    assert ending.text == f"signal {int(number)} ({number.name})"
    assert ending.fingerprint == f"signal: {int(number)}"


def test_a_signal_without_a_name_is_told_too() -> None:
    """Real-time signals have numbers only."""
    assert classify(-40).text == "signal 40 (without a name)"


def test_what_the_life_s_group_counted_is_certain() -> None:
    """The kernel ended a process of this group."""
    ending = classify(-signal.SIGKILL, oom=OomEvidence(1, 1))
    assert ending.kind is EndingKind.OUT_OF_MEMORY
    assert "likely" not in ending.text
    assert ending.status == -9


def test_without_a_group_it_is_said_to_be_likely() -> None:
    """The kernel ended something on this host; also where nobody saw the status."""
    for status in (-signal.SIGKILL, None):
        ending = classify(status, oom=OomEvidence(None, 1))
        assert ending.kind is EndingKind.OUT_OF_MEMORY
        assert ending.text.startswith("likely out of memory")


def test_a_group_that_counted_nothing_speaks_for_the_life() -> None:
    """The kernel ended another process of the host: somebody else killed this one."""
    assert classify(-signal.SIGKILL, oom=OomEvidence(0, 5)).kind is EndingKind.SIGNAL


def test_memory_is_not_blamed_for_other_deaths() -> None:
    """A signal that the kernel does not use for it; an exception; an exit."""
    oom = OomEvidence(1, 1)
    assert classify(-signal.SIGTERM, oom=oom).kind is EndingKind.SIGNAL
    assert classify(1, NEGATIVE, oom).kind is EndingKind.EXCEPTION
    assert classify(None, NEGATIVE, oom).kind is EndingKind.EXCEPTION
    assert classify(3, oom=oom).kind is EndingKind.EXIT


def test_a_program_that_never_joined_is_explained_by_its_last_words() -> None:
    """Its traceback is read as Python wrote it."""
    status, last_words = run("import json\njson.loads('[1, 2')\n")
    ending = classify(status, last_words=f"some noise\n{last_words}")
    assert ending.kind is EndingKind.EXCEPTION
    assert ending.text.startswith("json.decoder.JSONDecodeError: Expecting ',' delimiter")
    assert ending.detail.startswith("Traceback") and ending.detail.endswith(ending.text)
    assert ending.fingerprint.startswith("exception: json.decoder.JSONDecodeError at ")
    assert (
        ending.fingerprint.endswith(":raw_decode") or "scanner" in ending.fingerprint or "decoder" in ending.fingerprint
    )


def test_the_last_of_a_chain_of_exceptions_ended_the_program() -> None:
    """`raise ... from ...` writes both."""
    status, last_words = run(
        "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise KeyError('y') from error\n"
    )
    ending = classify(status, last_words=last_words)
    assert ending.text == "KeyError: 'y'"
    assert ending.fingerprint == "exception: KeyError at <string>:4:<module>"


def test_an_exception_without_a_message_and_one_with_many_lines() -> None:
    """One line is shown; the rest stands in the detail."""
    assert classify(*as_arguments(run("assert False"))).text == "AssertionError"
    ending = classify(*as_arguments(run("raise RuntimeError('first\\nsecond')")))
    assert ending.text == "RuntimeError: first"
    assert "second" in ending.detail


def as_arguments(ended: tuple[int, str]) -> tuple[int, None, OomEvidence, str]:
    return ended[0], None, OomEvidence(None, 0), ended[1]


def test_words_about_an_exception_that_was_handled_explain_no_other_end() -> None:
    """A logged traceback, then an exit of the program's own choice."""
    words = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\nValueError: 1\n'
    ending = classify(3, last_words=words)
    assert ending.kind is EndingKind.EXIT
    assert ending.text == "exit status 3"
    assert ending.detail == words
    assert ending.fingerprint == "exit status: 3"


@pytest.mark.parametrize(
    "words", ["", "Traceback (most recent call last):", "Traceback (most recent call last):\n  File"]
)
def test_words_that_were_cut_explain_nothing(words: str) -> None:
    """Then the status is all there is."""
    assert classify(1, last_words=words).kind is EndingKind.EXIT


def test_a_status_as_shells_give_it_is_translated() -> None:
    """128 + n, where n is a signal."""
    assert classify(137).text == "exit status 137 (a shell says so of SIGKILL)"
    assert classify(255).text == "exit status 255"


def test_a_crash_in_compiled_code_is_placed_by_faulthandler() -> None:
    """Two crashes at two places are two deaths."""
    body = "def advance():\n    os.kill(os.getpid(), signal.SIGSEGV)\nadvance()"
    status, last_words = run(f"import faulthandler, signal, os\nfaulthandler.enable()\n{body}")
    ending = classify(status, last_words=last_words)
    assert ending.kind is EndingKind.SIGNAL
    assert ending.fingerprint == "signal: 11 at <string>:4:advance"
    assert ending.detail.startswith("Fatal Python error: Segmentation fault")


def test_an_end_that_nobody_saw_is_called_unknown() -> None:
    """Nothing is made up."""
    assert classify(None).kind is EndingKind.UNKNOWN


def test_a_program_that_could_not_be_started() -> None:
    """The kernel's reason is the text."""
    assert not_started("no such file: python9").kind is EndingKind.NOT_STARTED


def test_what_is_kept_of_an_end_is_bounded() -> None:
    """A program may raise with a whole array in its message."""
    ending = classify(1, RaisedNote("ValueError", "9 " * 100_000, "f" * 100_000, "p"))
    assert len(ending.text) <= 500
    assert len(ending.detail) <= 20_000


def test_what_goldthread_told_the_user_explains_no_death() -> None:
    """It is among the last that was written, where the program itself wrote nothing."""
    words = "goldthread: life 2 of walk goes on from step 3 of life 1 (sealed)\n"
    assert classify(-9, last_words=words).detail == ""
    assert classify(3, last_words=f"no such file\n{words}").detail == "no such file\n"
