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
        frames = traceback.extract_tb(error.__traceback__)
        last = frames[-1] if frames else None
        self._tell(
            RaisedNote(
                type(error).__name__,
                str(error),
                "".join(traceback.format_list(frames[-_FRAMES_SHOWN:])),
                f"{last.filename}:{last.lineno}:{last.name}" if last else "",
            )
        )

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
