"""How programs, shims and commands reach the keeper of this host: where it lives, and how one talks to it.

A keeper is known by its home, a folder. In it lies its door, a Unix socket that only its user may open. Whoever
needs a keeper and finds none starts one; a lock in the home lets only one live.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Final

import msgspec

from goldthread import errors
from goldthread.errors import (
    GoldthreadError,
    KeeperError,
    KeeperSilent,
    KeeperUnreachable,
    OtherVersion,
    UsageError,
)
from goldthread.names import MemberName
from goldthread.version import VERSION
from goldthread.wire.codec import Decoder, encode
from goldthread.wire.messages import PROTOCOL, FromKeeper, Hello, Refused

__all__ = ["Channel", "Home", "Wire", "connect", "door_address", "keeper_starting", "reach_keeper", "start_keeper"]

_START_SECONDS: Final = 20.0
_LOOK_SECONDS: Final = 1.0
"""After so much silence of a keeper it is looked at whether it is stopped."""
_ADDRESS_BYTES_MOST: Final = 100
_DESCRIPTORS_MOST: Final = 64
_PIECE_BYTES: Final = 1 << 16
_PEER: Final = struct.Struct("3i")
"""The process, the user and the group on the other side of a Unix socket."""


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one keeper and the files in it."""

    path: Path

    @classmethod
    def default(cls) -> Home:
        """`GOLDTHREAD_HOME`, else `goldthread` in the user's folder for state."""
        named = os.environ.get("GOLDTHREAD_HOME")
        if named:
            return cls(Path(named).expanduser().absolute())
        state = os.environ.get("XDG_STATE_HOME")
        return cls((Path(state) if state else Path.home() / ".local" / "state") / "goldthread")

    @property
    def door(self) -> Path:
        return self.path / "door"

    @property
    def lock(self) -> Path:
        return self.path / "keeper.lock"

    @property
    def journal(self) -> Path:
        return self.path / "journal.sqlite"

    @property
    def vault(self) -> Path:
        return self.path / "vault"

    @property
    def log(self) -> Path:
        return self.path / "keeper.log"

    def member(self, name: MemberName) -> Path:
        return self.path / "members" / name

    def output(self, name: MemberName) -> Path:
        """What the program wrote, as framed by `output.py`."""
        return self.member(name) / "output.log"

    def process(self, name: MemberName) -> Path:
        """Which process the present life is: its number, and when it began."""
        return self.member(name) / "process"

    def stacks(self, name: MemberName) -> Path:
        """Where a program writes its stacks when asked."""
        return self.member(name) / "stacks"

    def make(self) -> None:
        """Make the folder, for its user alone. Raises `UsageError` where that is not permitted."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"the home of the keeper cannot be made: {self.path}: {error.strerror}",
                hint="set GOLDTHREAD_HOME to a folder that you may write to",
            ) from error
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            raise UsageError(
                f"the home of the keeper cannot be written to: {self.path}",
                hint="set GOLDTHREAD_HOME to a folder that you may write to",
            )


def door_address(home: Home) -> tuple[str, int | None]:
    """The address of the door for `bind` and `connect`, and a descriptor to close after use.

    A socket's address has room for about a hundred bytes; a longer path is reached through its open folder.
    """
    if len(os.fsencode(home.door)) <= _ADDRESS_BYTES_MOST:
        return str(home.door), None
    folder = os.open(home.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"/proc/self/fd/{folder}/{home.door.name}", folder


class Wire:
    """Frames and descriptors on one stream socket, blocking or not; nothing of what they mean."""

    def __init__(self, stream: socket.socket, union: Any) -> None:
        self.stream = stream
        self._decoder = Decoder(union)
        self._descriptors: deque[int] = deque()

    def receive(self) -> list[tuple[Any, list[int]]]:
        """What one read brought: messages, each with its descriptors.

        Raises `EOFError` at the end of the stream, `BlockingIOError` where nothing is there, `KeeperError` for
        what is no message.
        """
        piece, descriptors, _, _ = socket.recv_fds(
            self.stream, _PIECE_BYTES, _DESCRIPTORS_MOST, socket.MSG_CMSG_CLOEXEC
        )
        self._descriptors.extend(descriptors)
        if not piece:
            raise EOFError("the other side closed the connection")
        messages = []
        for message, count in self._decoder.feed(piece):
            if count > len(self._descriptors):
                raise KeeperError(
                    f"{count} descriptors were announced and {len(self._descriptors)} arrived",
                    hint="the limit of open files may be reached: ulimit -n",
                )
            messages.append((message, [self._descriptors.popleft() for _ in range(count)]))
        return messages

    def send(self, message: msgspec.Struct, descriptors: Sequence[int] = ()) -> bytes:
        """Send, and return what the socket would not take now (nothing, where it blocks)."""
        frame = encode(message, len(descriptors))
        sent = socket.send_fds(self.stream, [frame], list(descriptors)) if descriptors else self.stream.send(frame)
        return frame[sent:]

    def close(self) -> None:
        self.stream.close()
        while self._descriptors:
            os.close(self._descriptors.popleft())


class Channel:
    """A connection to the keeper, for one thread at a time. Times are in seconds; None waits for ever."""

    def __init__(self, stream: socket.socket) -> None:
        self._wire = Wire(stream, FromKeeper)
        self._arrived: deque[tuple[Any, list[int]]] = deque()

    def send(self, message: msgspec.Struct, descriptors: Sequence[int] = ()) -> None:
        """Raises `KeeperUnreachable` where the keeper is gone."""
        try:
            self._wire.stream.settimeout(None)
            rest = self._wire.send(message, descriptors)
            if rest:
                self._wire.stream.sendall(rest)
        except OSError as error:
            raise KeeperUnreachable(f"the keeper is gone: {error.strerror}") from error

    def receive(self, timeout: float | None = None) -> tuple[Any, list[int]]:
        """The next message with its descriptors. Raises `KeeperUnreachable`, or `TimeoutError`."""
        deadline = None if timeout is None else monotonic() + timeout
        while not self._arrived:
            left = None if deadline is None else deadline - monotonic()
            if left is not None and left <= 0:
                raise TimeoutError("the keeper did not answer in time")
            self._wire.stream.settimeout(left)
            try:
                self._arrived.extend(self._wire.receive())
            except TimeoutError:
                continue
            except (EOFError, OSError) as error:
                raise KeeperUnreachable("the keeper is gone") from error
        return self._arrived.popleft()

    def receive_some(self) -> list[tuple[Any, list[int]]]:
        """What can be had without waiting, for those who watch `fileno`. Raises `KeeperUnreachable`."""
        self._wire.stream.settimeout(0)
        try:
            self._arrived.extend(self._wire.receive())
        except BlockingIOError:
            pass
        except (EOFError, OSError) as error:
            raise KeeperUnreachable("the keeper is gone") from error
        arrived = list(self._arrived)
        self._arrived.clear()
        return arrived

    def ask(
        self, message: msgspec.Struct, descriptors: Sequence[int] = (), *, timeout: float | None = None
    ) -> tuple[Any, list[int]]:
        """Send, and return the answer with its descriptors. A `Refused` is raised as the error that it names."""
        self.send(message, descriptors)
        answer, arrived = self.receive(timeout)
        if isinstance(answer, Refused):
            raise error_of(answer)
        return answer, arrived

    def fileno(self) -> int:
        return self._wire.stream.fileno()

    def peer(self) -> int:
        """The process on the other side."""
        pid: int = _PEER.unpack(self._wire.stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))[0]
        return pid

    def close(self) -> None:
        self._wire.close()

    def __enter__(self) -> Channel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def error_of(refused: Refused) -> GoldthreadError:
    """The error that a refusal names."""
    kind = getattr(errors, refused.error, None)
    if not (isinstance(kind, type) and issubclass(kind, GoldthreadError)):
        kind = KeeperError
    return kind(refused.text, hint=refused.hint)


def connect(home: Home, role: str) -> Channel:
    """Open a connection to the keeper of `home`.

    Raises `KeeperUnreachable` where none is there, `KeeperSilent` where it does not answer, `OtherVersion` where it
    speaks another protocol.
    """
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    folder = None
    try:
        stream.settimeout(_START_SECONDS)
        address, folder = door_address(home)
        stream.connect(address)
    except OSError as error:
        stream.close()
        raise KeeperUnreachable(
            f"no keeper answers in {home.path}", hint="goldthread keeper start, or any goldthread run, starts one"
        ) from error
    finally:
        if folder is not None:
            os.close(folder)
    channel = Channel(stream)
    try:
        answer = _greet(channel, home, role)
    except BaseException:
        channel.close()
        raise
    if not isinstance(answer, Hello) or answer.protocol != PROTOCOL:
        channel.close()
        raise OtherVersion(
            f"the keeper in {home.path} speaks another protocol than goldthread {VERSION}",
            hint="end it with the version that started it (goldthread keeper stop), then try again",
        )
    return channel


def _greet(channel: Channel, home: Home, role: str) -> Any:
    """What the keeper answers to a greeting. Whoever asks at a terminal need not wait for one that is stopped."""
    channel.send(Hello(PROTOCOL, VERSION, role))
    try:
        answer, _ = channel.receive(min(_LOOK_SECONDS, _START_SECONDS))
    except TimeoutError:
        pid = channel.peer()
        if role == "command" and _is_stopped(pid):
            raise KeeperSilent(
                f"the keeper in {home.path} (process {pid}) is stopped",
                hint=f"programs go on; kill -CONT {pid} wakes it",
            ) from None
        try:
            answer, _ = channel.receive(_START_SECONDS)
        except TimeoutError:
            hint = (
                f"programs go on; the host may be very busy, or the keeper (process {pid}) be stopped; see {home.log}"
            )
            raise KeeperSilent(f"the keeper in {home.path} lives and does not answer", hint=hint) from None
    if isinstance(answer, Refused):
        raise error_of(answer)
    return answer


def _is_stopped(pid: int) -> bool:
    """Whether a process stands still at a signal's or a tracer's word."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "Tt"
    except OSError:
        return False


def keeper_starting(home: Home) -> subprocess.Popen[bytes]:
    """Begin to start a keeper. The process ends when the keeper's door is open, or with the keeper's own words on
    standard error and a status above 0. A keeper that lives already is left alone."""
    # -P: a file in the user's folder must not stand in for a module of the standard library.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "goldthread.keeper.main", str(home.path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def start_keeper(home: Home) -> None:
    """Start a keeper in `home` and return when its door is open.

    Raises `KeeperUnreachable` with the keeper's own words where it does not come up.
    """
    home.make()
    try:
        starting = keeper_starting(home)
        _, said = starting.communicate(timeout=_START_SECONDS)
    except subprocess.TimeoutExpired as error:
        text = f"the keeper could not be started: it was not there after {_START_SECONDS:.0f} s"
        raise KeeperUnreachable(text, hint=f"see {home.log}") from error
    except OSError as error:
        raise KeeperUnreachable(f"the keeper could not be started: {error}", hint=f"see {home.log}") from error
    if starting.returncode != 0:
        words = said.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"]
        raise KeeperUnreachable(f"the keeper could not be started: {words[-1]}", hint=f"see {home.log}")


def reach_keeper(home: Home, role: str) -> Channel:
    """Connect to the keeper of `home`; start one where there is none."""
    try:
        return connect(home, role)
    except KeeperSilent:
        raise
    except KeeperUnreachable:
        start_keeper(home)
        return connect(home, role)
