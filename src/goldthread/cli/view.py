"""The view of a running member, shared by `run` and `attach`: its output as if it ran here, notices about its lives,
and its exit status at the end.

A view only watches. It may be closed at any time, and it outlives the keeper: it finds the next one and goes on.
"""

from __future__ import annotations

import select
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable
from time import sleep
from types import TracebackType
from typing import Any, Final

from goldthread.cli.screen import notice, size
from goldthread.errors import GoldthreadError, KeeperUnreachable
from goldthread.local import Channel, Home, reach_keeper
from goldthread.names import Epoch, MemberName
from goldthread.output import ERR, LOST, Frame, OutputReader
from goldthread.report import Ending, EndingKind, Phase
from goldthread.wire.messages import Done, PhaseNote, StopRequest, WatchRequest

__all__ = ["KEPT_STATUS", "View", "ask_to_stop", "final_status", "is_elsewhere", "show", "stop_on_signal"]

KEPT_STATUS: Final = 75
"""EX_TEMPFAIL: the program ended too early here, and its state is kept."""

_POLL_SECONDS: Final = 0.02
_RETRY_SECONDS: Final = 0.2
_AT_REST: Final = frozenset({Phase.ENDED, Phase.LIMBO, Phase.DOWN, Phase.ABSENT, Phase.AWAY})
_ELSEWHERE: Final = frozenset({EndingKind.HANDED_OVER, EndingKind.FENCED})
_WORTH_SAYING: Final = frozenset({Phase.WAITING, Phase.STUCK})

OnSignal = Callable[[int], bool]
"""Called for each signal that arrived; whether the view ends now."""


class View:
    """Follows one member from the moment at which it is made."""

    def __init__(self, home: Home, member: MemberName, reader: OutputReader) -> None:
        self._home = home
        self._member = member
        self._reader = reader
        self._channel: Channel | None = None
        self._said = ""
        self._first = Epoch(0)
        self._arrived: deque[int] = deque()
        self._handlers: dict[signal.Signals, Any] = {}
        self._missed = 0

    def __enter__(self) -> View:
        """From now on signals are only noted, so that none is lost between the start and the view."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, lambda number, _: self._arrived.append(number))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._reader.close()
        self._lose()

    def follow(self, on_signal: OnSignal) -> PhaseNote | None:
        """Show everything until the member is at rest; None where `on_signal` ended the view before."""
        shown = False
        while True:
            notes = self._notes(0.0 if shown else _POLL_SECONDS)
            # The shim writes all output before it tells the end, so what is read now is whole.
            shown = self.show_output()
            for note in notes:
                self._tell(note)
                if note.phase in _AT_REST:
                    return note
            while self._arrived:
                if on_signal(self._arrived.popleft()):
                    return None

    def show_output(self) -> bool:
        """Show what came, and say whether something did."""
        frames = self._reader.read()
        show(frames)
        if self._reader.missed > self._missed:
            notice(f"{size(self._reader.missed - self._missed)} of output were gone before they could be shown")
            self._missed = self._reader.missed
        return bool(frames)

    def _notes(self, wait_seconds: float) -> list[PhaseNote]:
        """What the keeper said, or says within the wait."""
        channel = self._channel
        if channel is None:
            return self._reconnect()
        try:
            ready, _, _ = select.select([channel], [], [], wait_seconds)
            heard = channel.receive_some() if ready else []
        except KeeperUnreachable:
            notice("the keeper is gone; the program goes on, another keeper is sought")
            self._lose()
            return []
        return [message for message, _ in heard if isinstance(message, PhaseNote)]

    def _reconnect(self) -> list[PhaseNote]:
        """Reach a keeper now and then. Raises `UsageError` where it does not know the member."""
        try:
            self._channel = reach_keeper(self._home, "command")
            note, _ = self._channel.ask(WatchRequest(self._member))
        except KeeperUnreachable as error:
            self._lose()
            self._say(str(error))
            sleep(_RETRY_SECONDS)
            return []
        return [note]

    def _lose(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _tell(self, note: PhaseNote) -> None:
        """Say what a user wants to know of the member's lives, each thing once. From where a life goes on its
        program says itself."""
        self._first = self._first or note.epoch
        is_next = note.phase is Phase.STARTING and note.epoch != self._first
        if is_next or note.phase in _WORTH_SAYING:
            self._say(f"{self._member}: {note.reason}")

    def _say(self, sentence: str) -> None:
        if sentence != self._said:
            notice(sentence)
            self._said = sentence


def show(frames: Iterable[Frame]) -> None:
    """Pass on what a program wrote, unchanged, each stream to its own."""
    for frame in frames:
        if frame.stream == LOST:
            notice(f"{size(int(frame.payload))} of output were lost here, since the disk was full")
            continue
        stream = sys.stderr.buffer if frame.stream == ERR else sys.stdout.buffer
        stream.write(frame.payload)
        stream.flush()


def is_elsewhere(note: PhaseNote) -> bool:
    """Whether the member goes on at another keeper."""
    return note.phase is Phase.AWAY or (note.ending is not None and note.ending.kind in _ELSEWHERE)


def final_status(note: PhaseNote) -> int:
    """The status of a command that showed a member until it was at rest."""
    return KEPT_STATUS if note.phase is Phase.LIMBO or is_elsewhere(note) else _exit_status(note.ending)


def _exit_status(ending: Ending | None) -> int:
    """The status of a process that takes the place of the program: a signal is 128 and its number, as in a shell."""
    if ending is None or ending.kind is EndingKind.FINISHED:
        return 0
    if ending.status is None:
        return 1
    return 128 - ending.status if ending.status < 0 else ending.status


def ask_to_stop(home: Home, member: MemberName, number: int, *, escalate: bool) -> str:
    """Have the member's program signalled, and return what the keeper answers."""
    with reach_keeper(home, "command") as channel:
        answer, _ = channel.ask(StopRequest(member, number, escalate))
    return answer.text if isinstance(answer, Done) else ""


def stop_on_signal(home: Home, member: MemberName) -> OnSignal:
    """For `run`: the first and second Ctrl-C ask the program as a terminal would, the third kills it."""
    interrupts = 0

    def on_signal(number: int) -> bool:
        nonlocal interrupts
        interrupts += number == signal.SIGINT
        try:
            if number == signal.SIGTERM:
                ask_to_stop(home, member, signal.SIGTERM, escalate=True)
            elif interrupts < 3:
                ask_to_stop(home, member, signal.SIGINT, escalate=False)
                notice(f"{member} was asked to stop" + ("" if interrupts < 2 else "; once more to kill it"))
            else:
                ask_to_stop(home, member, signal.SIGKILL, escalate=False)
                notice(f"{member} was killed")
        except GoldthreadError as error:
            notice(f"{member} could not be asked to stop: {error}")
        return False

    return on_signal
