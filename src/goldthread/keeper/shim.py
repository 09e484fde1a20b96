"""The shim: the parent of a program, and all that must outlive the keeper.

The keeper starts one for each member that `run` keeps alive. It starts the program's lives when it is told to, keeps
their output, their exit status and the descriptors of their slots, and does nothing else; so there is little in it
that could fail. When the keeper dies, the shim sees to it that there is one again (nobody else would notice, for a
program that commits once an hour), and hands over what it holds.

    python -m goldthread.keeper.shim HOME MEMBER
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any, Final

from goldthread.errors import GoldthreadError
from goldthread.keeper.open_files import give_usual_limit
from goldthread.keeper.ready import call_ready
from goldthread.local import Channel, Home, connect, keeper_starting
from goldthread.names import Epoch, MemberName, member_name
from goldthread.output import OutputLog
from goldthread.wire.messages import (
    Command,
    EndShim,
    HoldPulse,
    HoldSlot,
    LifeExitedNote,
    LifeNotStartedNote,
    LifeStartedNote,
    ReleaseSlot,
    ShimNote,
    SignalLife,
    StartLife,
)

__all__ = ["main", "spawn"]

_RETRY_SECONDS: Final = 0.05
_KEEPER_SECONDS: Final = 1.0
_PIECE_BYTES: Final = 1 << 16
_LAST_WORDS_BYTES: Final = 4096
_STDOUT: Final = 1
_STDERR: Final = 2


def spawn(home: Home, member: MemberName) -> subprocess.Popen[bytes]:
    """Start the shim of a member; it comes to the keeper's door by itself."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "goldthread.keeper.shim", str(home.path), member],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    )
    give_usual_limit(process.pid)
    return process


class Shim:
    def __init__(self, home: Home, member: MemberName) -> None:
        self._home = home
        self._member = member
        self._channel: Channel | None = None
        self._keeper_starting: subprocess.Popen[bytes] | None = None
        self._alone_since = monotonic()
        self._selector = selectors.DefaultSelector()
        home.member(member).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._output = OutputLog(home.output(member))
        self._epoch = Epoch(0)
        self._program: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._status: int | None = None
        self._last_words = b""
        self._pulse: int | None = None
        self._slots: dict[tuple[Epoch, int], int] = {}
        self._dismissed = False
        self._ending = False

    def run(self) -> None:
        """Serve until the keeper says `EndShim`."""
        while not self._ending:
            if self._channel is None:
                self._seek_keeper()
            call_ready(self._selector, None if self._channel else _RETRY_SECONDS)

    # The keeper

    def _seek_keeper(self) -> None:
        """Connect and hand over what is held; where no keeper comes back by itself, start one."""
        if not self._home.path.exists():
            # The home was removed: it is not made again behind its user's back.
            self._ending = self._program is None
            return
        try:
            channel = connect(self._home, "shim")
        except GoldthreadError:
            starting = self._keeper_starting
            if starting is not None and starting.poll() is not None:
                self._keeper_starting = starting = None
                self._alone_since = monotonic()
            if starting is None and monotonic() - self._alone_since > _KEEPER_SECONDS:
                self._keeper_starting = keeper_starting(self._home)
            return
        self._channel = channel
        self._selector.register(channel, selectors.EVENT_READ, self._hear)
        places = sorted(self._slots)
        held = [self._slots[place] for place in places]
        pid = self._program.pid if self._program else None
        pulse = [] if self._pulse is None else [self._pulse]
        self._say(
            ShimNote(self._member, self._epoch, pid, self._status, self._words(), bool(pulse), tuple(places)),
            [*pulse, *held],
        )

    def _say(self, message: Any, descriptors: Sequence[int] = ()) -> None:
        if self._channel is None:
            return
        try:
            self._channel.send(message, descriptors)
        except GoldthreadError:
            self._lose_keeper()

    def _lose_keeper(self) -> None:
        if self._channel is not None:
            self._selector.unregister(self._channel)
            self._channel.close()
            self._channel = None
            self._alone_since = monotonic()

    def _hear(self) -> None:
        try:
            messages = self._channel.receive_some() if self._channel else []
        except GoldthreadError:
            self._lose_keeper()
            return
        for message, descriptors in messages:
            self._obey(message, descriptors)

    def _obey(self, message: Any, descriptors: list[int]) -> None:
        match message:
            case StartLife(epoch=epoch, command=command):
                self._start(epoch, command)
            case SignalLife(epoch=epoch, signal=number):
                if epoch == self._epoch and self._program is not None:
                    _signal_group(self._program.pid, number)
            case HoldPulse():
                self._drop_pulse()
                self._pulse = descriptors[0]
            case HoldSlot(epoch=epoch, index=index):
                self._release((epoch, index))
                self._slots[epoch, index] = descriptors[0]
            case ReleaseSlot(epoch=epoch, index=index):
                self._release((epoch, index))
            case EndShim():
                # A program that left in peace may still have to end: its output is kept until then.
                self._dismissed = True
                self._ending = self._program is None

    def _release(self, place: tuple[Epoch, int]) -> None:
        held = self._slots.pop(place, None)
        if held is not None:
            os.close(held)

    def _drop_pulse(self) -> None:
        if self._pulse is not None:
            os.close(self._pulse)
            self._pulse = None

    # The program

    def _start(self, epoch: Epoch, command: Command) -> None:
        if self._program is not None:
            self._say(LifeNotStartedNote(epoch, f"life {self._epoch} still runs as process {self._program.pid}"))
            return
        self._drop_pulse()
        self._epoch = epoch
        self._status = None
        self._last_words = b""
        environment = {
            "PYTHONUNBUFFERED": "1",
            **command.environment,
            "GOLDTHREAD_HOME": str(self._home.path),
            "GOLDTHREAD_MEMBER": self._member,
            "GOLDTHREAD_EPOCH": str(epoch),
        }
        try:
            program = subprocess.Popen(
                command.argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=command.directory,
                env=environment,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            self._say(LifeNotStartedNote(epoch, f"{command.argv[0]} could not be started: {error}"))
            return
        self._program = program
        self._pidfd = os.pidfd_open(program.pid)
        self._selector.register(self._pidfd, selectors.EVENT_READ, self._bury)
        for stream, pipe in ((_STDOUT, program.stdout), (_STDERR, program.stderr)):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                self._selector.register(pipe, selectors.EVENT_READ, lambda s=stream, p=pipe: self._pass_on(s, p))
        self._say(LifeStartedNote(epoch, program.pid))

    def _pass_on(self, stream: int, pipe: Any) -> bool:
        """Write to the log what the program wrote; whether there may be more."""
        try:
            piece = os.read(pipe.fileno(), _PIECE_BYTES)
        except BlockingIOError:
            return False
        if not piece:
            self._selector.unregister(pipe)
            pipe.close()
            return False
        self._output.write(stream, piece)
        if stream == _STDERR:
            self._last_words = (self._last_words + piece)[-_LAST_WORDS_BYTES:]
        return True

    def _bury(self) -> None:
        """The program ended: keep its last words and its status, end what it left behind, and say so."""
        program = self._program
        if program is None:
            return
        for stream, pipe in ((_STDOUT, program.stdout), (_STDERR, program.stderr)):
            while pipe is not None and not pipe.closed and self._pass_on(stream, pipe):
                pass
        self._selector.unregister(self._pidfd)
        os.close(self._pidfd)
        end = os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)
        if end is None or end.si_code != os.CLD_EXITED or end.si_status != 0:
            # Its children must not go on beside its next life. It is not reaped yet, so its number is still its own.
            _signal_group(program.pid, signal.SIGKILL)
        self._status = program.wait()
        self._program = None
        self._ending = self._dismissed
        self._say(LifeExitedNote(self._epoch, self._status, self._words()))

    def _words(self) -> str:
        return self._last_words.decode("utf-8", "replace")


def _signal_group(leader: int, number: int) -> None:
    """Signal the program and the processes that it started, as a terminal would."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def main(arguments: Sequence[str]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Handled, not ignored: what is ignored would be ignored by every program that the shim starts.
        signal.signal(number, lambda *_: None)
    home, member = Home(Path(arguments[0])), member_name(arguments[1])
    Shim(home, member).run()


if __name__ == "__main__":
    main(sys.argv[1:])
