"""How the end of a program reaches its keeper: an uncaught exception is told, a peaceful end too, and a program that
hangs can be made to write its stacks."""

from __future__ import annotations

import atexit
import faulthandler
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Final

from goldthread.wire.messages import RaisedNote

__all__ = ["Farewell", "is_peaceful"]

_FRAMES_SHOWN: Final = 5
_BEHIND_SHOWN: Final = 5
_SIGNS_MOST: Final = 20_000


class Farewell:
    """Listens for the end of the interpreter, until it is closed. Made in the process that joined, and for it alone."""

    def __init__(self, tell: Callable[[RaisedNote], None], leave: Callable[[], None], stacks: Path) -> None:
        """`tell` takes what is known of an exception; `leave` is called when the interpreter ends."""
        self.raised = False
        """An exception was told."""
        self._tell = tell
        self._leave = leave
        self._process = os.getpid()
        self._stacks = _answer_with_stacks(stacks)
        self._hook = sys.excepthook
        sys.excepthook = self._on_uncaught
        atexit.register(self._leave)

    def tell_of(self, error: BaseException) -> None:
        """Say what is about to end the program. Only the first counts: it is the cause of those that follow."""
        if self.raised or os.getpid() != self._process:
            return
        self.raised = True
        self._tell(_note_of(error))

    def close(self) -> None:
        atexit.unregister(self._leave)
        if sys.excepthook == self._on_uncaught:
            sys.excepthook = self._hook
        if self._stacks is not None:
            faulthandler.unregister(signal.SIGUSR2)
            self._stacks.close()
            self._stacks = None

    def _on_uncaught(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        self.tell_of(error)
        self._hook(kind, error, trace)


def _note_of(error: BaseException) -> RaisedNote:
    """What is known of an exception, and of those behind it: its causes, and what a group holds.

    Nothing here may fail, whatever the program raises: another exception would take the place of its own.
    """
    told = traceback.TracebackException.from_exception(error, limit=-_FRAMES_SHOWN)
    lines, behind = told.stack.format(), _behind(told)
    for _ in range(_BEHIND_SHOWN):
        if behind:
            one = behind.pop(0)
            lines += [f"behind it: {''.join(one.format_exception_only())}", *one.stack.format()]
            behind = [*_behind(one), *behind]
    origin = told
    while origin.exceptions:
        origin = origin.exceptions[0]
    last = origin.stack[-1] if origin.stack else None
    place = f"{last.filename}:{last.lineno}:{last.name}" if last else ""
    return RaisedNote(type(error).__name__, _plain(str(told)), _plain("".join(lines)), _plain(place))


def _behind(told: traceback.TracebackException) -> list[traceback.TracebackException]:
    context = None if told.__suppress_context__ else told.__context__
    cause = told.__cause__ or context
    return [*(told.exceptions or ()), *([cause] if cause else ())]


def _plain(text: str) -> str:
    """Text that can be sent: of bounded length, and without the halves of signs that undecodable bytes become."""
    return text[:_SIGNS_MOST].encode("utf-8", "backslashreplace").decode()


def is_peaceful(error: BaseException | None) -> bool:
    """Whether a block that ends with this ends in peace."""
    return error is None or (isinstance(error, SystemExit) and error.code in (None, 0))


def _answer_with_stacks(path: Path) -> IO[str] | None:
    """Have SIGUSR2 write the stacks of all threads to `path`, unless the program uses that signal itself."""
    if signal.getsignal(signal.SIGUSR2) is not signal.SIG_DFL:
        return None
    try:
        file = path.open("a")
    except OSError:
        return None
    faulthandler.register(signal.SIGUSR2, file=file, all_threads=True)
    return file
