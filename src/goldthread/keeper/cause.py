"""Why a life ended, from what was seen of its end. Pure: the keeper gathers the evidence, nothing is read here.

The evidence, from the strongest: what the program itself said of its last exception, what its control group counted,
its exit status, the end of what it wrote to standard error. Two deaths are the same death when their fingerprints
are equal: the kind, and the place in the program where one is known; never addresses, never messages, which may hold
numbers that differ each time.
"""

from __future__ import annotations

import re
import signal
from typing import Final

import msgspec

from goldthread.report import Ending, EndingKind
from goldthread.wire.messages import RaisedNote

__all__ = ["NO_EVIDENCE", "OomEvidence", "classify", "not_started", "signal_name", "unseen"]

_DETAIL_SIGNS_MOST: Final = 20_000
_TEXT_SIGNS_MOST: Final = 500
_SHELL_SIGNALS: Final = 128
"""A shell says `128 + n` of a child that signal n ended."""

_TRACEBACK: Final = "Traceback (most recent call last):"
_FRAME: Final = re.compile(r'^\s*File "(?P<file>[^"]+)", line (?P<line>\d+)(?:,)? in (?P<function>\S+)', re.MULTILINE)
_SYNTAX: Final = re.compile(
    r'^  File "(?P<file>[^"]+)", line (?P<line>\d+)\n(?:\s.*\n)*(?P<error>SyntaxError|IndentationError|TabError): '
    r"(?P<message>.*)",
    re.MULTILINE,
)
"""What Python says of a program that it cannot read: there are no frames yet."""
_ERROR: Final = re.compile(r"^(?P<error>[A-Za-z_][\w.]*)(?:: (?P<message>.*))?$")
_OWN_WORDS: Final = re.compile(r"^goldthread: .*\n?", re.MULTILINE)
"""What `join` and `restore` tell the user explains no death."""
_FATAL: Final = "Fatal Python error:"


class OomEvidence(msgspec.Struct, frozen=True):
    """How many processes the kernel ended for want of memory since the life began."""

    group_kills: int | None
    """In the life's own control group; None where it has none."""
    host_kills: int
    """On the whole host."""


NO_EVIDENCE: Final = OomEvidence(None, 0)


def classify(
    status: int | None,
    raised: RaisedNote | None = None,
    oom: OomEvidence = NO_EVIDENCE,
    last_words: str = "",
) -> Ending:
    """The end of a life. `status` is as `waitstatus_to_exitcode` gives it, None where nobody saw it."""
    last_words = _OWN_WORDS.sub("", last_words)
    if status == 0:
        return Ending(EndingKind.FINISHED, "finished", status=0)
    if raised is None and status == 1:
        raised = _parse_traceback(last_words)
    killed = status is None or status == -signal.SIGKILL
    if killed and (status is not None or raised is None) and (text := _short_of_memory(oom)):
        return Ending(EndingKind.OUT_OF_MEMORY, text, status=status, fingerprint=EndingKind.OUT_OF_MEMORY.value)
    if status is not None and status < 0:
        return _signalled(-status, raised, last_words)
    if raised is not None and raised.error == "SystemExit" and status is not None:
        return _exited(status, raised.frames, raised.message)
    if raised is not None:
        return _raised(raised, status)
    if status is None:
        return unseen("it ended unseen")
    return _exited(status, last_words)


def not_started(text: str) -> Ending:
    """The end of a life whose program could not be started."""
    return Ending(EndingKind.NOT_STARTED, text, fingerprint=EndingKind.NOT_STARTED.value)


def unseen(text: str) -> Ending:
    """The end of a life that nobody saw: what is known stands in the text."""
    return Ending(EndingKind.UNKNOWN, text, fingerprint=EndingKind.UNKNOWN.value)


def _raised(raised: RaisedNote, status: int | None) -> Ending:
    name = raised.error.rpartition(".")[2]
    # NumPy's _ArrayMemoryError and torch's OutOfMemoryError say the same thing.
    kind = EndingKind.OUT_OF_MEMORY if name.endswith("MemoryError") else EndingKind.EXCEPTION
    text = f"{raised.error}: {raised.message}" if raised.message else raised.error
    return Ending(
        kind,
        _one_line(text),
        detail=raised.frames[-_DETAIL_SIGNS_MOST:],
        status=status,
        fingerprint=f"{kind.value}: {raised.error} at {raised.place}",
    )


def _short_of_memory(oom: OomEvidence) -> str:
    """What the kernel's counts say of a process that was killed; empty where they say nothing."""
    if oom.group_kills:
        return "the kernel ended it: its memory was used up"
    if oom.group_kills is None and oom.host_kills > 0:
        return "likely out of memory: the kernel ended processes of this host for want of memory while it ran"
    return ""


def _signalled(number: int, raised: RaisedNote | None, last_words: str) -> Ending:
    fatal = last_words[last_words.rfind(_FATAL) :] if _FATAL in last_words else ""
    place = _place(next(_FRAME.finditer(fatal), None))
    return Ending(
        EndingKind.SIGNAL,
        f"signal {number} ({signal_name(number)})",
        detail=(fatal or (raised.frames if raised else "") or last_words)[-_DETAIL_SIGNS_MOST:],
        status=-number,
        fingerprint=f"{EndingKind.SIGNAL.value}: {number}" + (f" at {place}" if place else ""),
    )


def _exited(status: int, last_words: str, message: str = "") -> Ending:
    """`message` is what `sys.exit` was called with: its status, or a sentence."""
    shell = ""
    if status > _SHELL_SIGNALS and signal_name(status - _SHELL_SIGNALS) != _UNNAMED:
        shell = f" (a shell says so of {signal_name(status - _SHELL_SIGNALS)})"
    said = "" if not message or message.lstrip("-").isdecimal() else f": {_one_line(message)}"
    return Ending(
        EndingKind.EXIT,
        f"exit status {status}{shell}{said}",
        detail=last_words[-_DETAIL_SIGNS_MOST:],
        status=status,
        fingerprint=f"{EndingKind.EXIT.value}: {status}",
    )


def _parse_traceback(last_words: str) -> RaisedNote | None:
    """The exception that ended a program, as Python wrote it last; for programs that never joined."""
    at = last_words.rfind(_TRACEBACK)
    if at < 0:
        unread = next(_SYNTAX.finditer(last_words), None)
        return unread and RaisedNote(
            unread["error"], unread["message"], unread[0], f"{unread['file']}:{unread['line']}"
        )
    frames = list(_FRAME.finditer(last_words, at))
    after = last_words[frames[-1].end() if frames else at + len(_TRACEBACK) :].splitlines()
    # Source lines and their markers are indented; the first line that is not names the error.
    found = next((_ERROR.match(line) for line in after if line and not line[0].isspace()), None)
    if found is None:
        return None
    place = _place(frames[-1] if frames else None)
    return RaisedNote(found["error"], found["message"] or "", last_words[at:].rstrip(), place)


def _place(frame: re.Match[str] | None) -> str:
    return f"{frame['file']}:{frame['line']}:{frame['function']}" if frame else ""


_UNNAMED: Final = "without a name"


def signal_name(number: int) -> str:
    """As a person would write it."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return _UNNAMED


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _TEXT_SIGNS_MOST else line[: _TEXT_SIGNS_MOST - 4] + " ..."
