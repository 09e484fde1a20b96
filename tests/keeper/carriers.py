"""Hosts for the tests of carriers: a keeper's door with the real carriage and a real carrier behind it, and no rules.

The loop of each host runs in a thread of its own. What the machine would be told comes out of `Host.heard`.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np

from goldthread.keeper.carriage import Carriage
from goldthread.keeper.door import Connection, Door
from goldthread.keeper.keys import Keys, Partner
from goldthread.keeper.loop import Loop
from goldthread.keeper.shelf import HeldSlot, Shelf
from goldthread.keeper.ward import Ward
from goldthread.local import Home
from goldthread.names import CommitId, Epoch, KeeperId, MemberName, Step, milliseconds
from goldthread.policy import Policy
from goldthread.program.writer import Writer
from goldthread.rules.bond_events import CommitHeld, ReplicateFailed
from goldthread.rules.bond_orders import AllowCopies, Replicate
from goldthread.slots.kernel import memory_file
from goldthread.slots.layout import CHUNK_BYTES
from goldthread.slots.slot import make_slot
from goldthread.wire.carrying import CommitCarriedNote
from tests.processes import end_processes_of

WALK = MemberName("walk")
SECONDS = 30.0
USUAL = Policy(return_grace=milliseconds(10))
T = TypeVar("T")


class Host:
    """One keeper's door, shelf and carriage."""

    def __init__(self, folder: Path, name: str, policy: Policy) -> None:
        self.home = Home(folder / name)
        self.policy = policy
        self.home.make()
        self.keys = Keys(self.home, name)
        self.me = self.keys.me
        self.shelf = Shelf()
        self.wards: dict[MemberName, Ward] = {}
        self.heard: queue.Queue[Any] = queue.Queue()
        self.bundles: dict[str, bytes] = {}
        self.sent: list[int] = []
        """Bytes of payload that went over the wire for each commit that was carried."""
        self.connections: list[Connection] = []
        self.warned: list[str] = []
        self.begin()

    def begin(self, first: Callable[[], None] = lambda: None) -> None:
        """Let a keeper live: at first, and after `die`. `first` is called before anybody reaches it."""
        self.loop = Loop()
        keeper: Any = SimpleNamespace(
            home=self.home,
            loop=self.loop,
            shelf=self.shelf,
            policy=self.policy,
            tell=self.heard.put,
            warn=lambda member, text: self.warned.append(text),
            ward=lambda member: self.wards.setdefault(member, Ward(member)),
        )
        self.carriage = Carriage(keeper, self._keep_bundle)
        first()
        self._door = Door(self.home, self.loop, self._hear, self.carriage.gone)
        self._door.open()
        self._thread = threading.Thread(target=self.loop.run, args=(lambda: None, lambda: None))
        self._thread.start()

    def _hear(self, connection: Connection, message: Any, descriptors: list[int]) -> None:
        if connection not in self.connections:
            self.connections.append(connection)
        if isinstance(message, CommitCarriedNote):
            self.sent.append(message.sent)
        self.carriage.hear[type(message)](connection, message, descriptors)

    def _keep_bundle(self, partner: KeeperId, member: MemberName, digest: str, data: bytes) -> tuple[str, ...]:
        self.bundles[digest] = data
        return ("Python 3.12.1 there, 3.11.2 here",)

    def do(self, call: Callable[[], T]) -> T:
        """In the thread of the loop, where all of a keeper is done."""
        answers: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue()

        def run() -> None:
            try:
                answers.put((call(), None))
            except BaseException as error:
                answers.put((None, error))

        self.loop.from_thread(run)
        answer, error = answers.get(timeout=SECONDS)
        if error is not None:
            raise error
        return answer  # type: ignore[return-value]

    def hears(self, kind: type[T]) -> T:
        """The next event of this kind; others are passed over."""
        while True:
            event = self.heard.get(timeout=SECONDS)
            if isinstance(event, kind):
                return event

    def hears_of_commit(self) -> CommitHeld | ReplicateFailed:
        """The answer to `Replicate`."""
        while True:
            event = self.heard.get(timeout=SECONDS)
            if isinstance(event, CommitHeld | ReplicateFailed):
                return event

    def pin(self, other: Host) -> None:
        self.keys.pin(Partner(other.me, other.keys.name, (), (other.keys.certificate,)))

    def port(self) -> int:
        """Of the carrier, once it is here."""
        ends = monotonic() + SECONDS
        while (port := self.do(lambda: self.carriage.port)) == 0:
            if monotonic() > ends:
                raise TimeoutError("no carrier came")
            threading.Event().wait(0.01)
        return port

    def carrier(self) -> int:
        """The carrier's process, once it is here."""
        self.port()
        mark = os.fsencode(self.home.path)
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
                if b"goldthread.keeper.carrier" in words and mark in words:
                    return int(entry.name)
        raise LookupError("no carrier lives")

    def kill(self, pid: int) -> None:
        """Kill this carrier, and wait until its keeper has seen it."""
        pidfd = os.pidfd_open(pid)
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.close(pidfd)
        while self.do(lambda: self.carriage.port):
            threading.Event().wait(0.001)

    def die(self) -> None:
        """Let the keeper end without a word; its carrier lives on."""

        def end() -> None:
            for connection in self.connections:
                connection.close()
            self.connections.clear()
            self.loop.stop()

        self.carriage.gone = lambda connection: None  # type: ignore[method-assign]
        self.loop.from_thread(end)
        self._thread.join(SECONDS)
        self._door.close()
        self.loop.close()

    def close(self) -> None:
        self.do(self.carriage.stop)
        self.die()
        end_processes_of(self.home)


class Life:
    """A program's commits on a host's shelf."""

    def __init__(self, host: Host, chunks: int, epoch: int = 1, member: MemberName = WALK) -> None:
        self.host = host
        self.member = member
        self.epoch = Epoch(epoch)
        self.state = {"x": np.zeros(chunks * CHUNK_BYTES // 8)}
        self._writer = Writer(member, self.epoch, slots_most=3, new_slot=self._new_slot, pickle=False)
        self._step = 0

    def _new_slot(self, index: int, size: int) -> int:
        descriptor = make_slot("test", size)
        self.host.shelf.put(self.member, self.epoch, index, os.dup(descriptor))
        return descriptor

    def commit(self, *changed: int) -> CommitId:
        """After a change in these chunks; in all where none are named."""
        parts = self.state["x"].reshape(-1, CHUNK_BYTES // 8)
        for index in changed or range(len(parts)):
            parts[index] += 1 + index
        self._step += 1
        commit = self._writer.write(self.state, Step(self._step), generators=False)
        assert commit is not None
        return commit

    def image(self, commit: CommitId) -> bytes:
        return image_in(self.host.shelf.find(self.member, commit))

    def close(self) -> None:
        self._writer.close()
        self.host.shelf.forget(self.member)


def image_in(slot: HeldSlot | None) -> bytes:
    """The image in a slot, without what lies behind it."""
    assert slot is not None
    header = slot.header()
    assert header is not None
    return os.pread(slot.descriptor, header.image_bytes, 0)


def held_image(host: Host, partner: KeeperId, commit: CommitId) -> bytes:
    """What a host holds of a partner's commit, once its keeper was told."""
    ends = monotonic() + SECONDS
    while monotonic() < ends:
        for place, slot in host.do(lambda: list(host.carriage.held.items())):
            header = slot.header()
            if place.partner == partner and header is not None and header.commit == commit:
                return image_in(slot)
        threading.Event().wait(0.001)
    raise TimeoutError(f"{commit} is not held")


def replicate(
    host: Host, partner: KeeperId, commit: CommitId, member: MemberName = WALK
) -> CommitHeld | ReplicateFailed:
    host.do(lambda: host.carriage.replicate(Replicate(member, commit, partner)))
    return host.hears_of_commit()


def allow(host: Host, partner: KeeperId, epoch: int = 0, bytes_most: int = 1 << 30, member: MemberName = WALK) -> None:
    """Let commits in, by these limits; the carrier knows of them when this returns."""
    host.do(lambda: host.carriage.allow(AllowCopies(partner, member, Epoch(epoch), bytes_most)))
    taken_in(host)


def taken_in(host: Host) -> None:
    """Wait until the carrier has taken in what it was told so far: it answers a question that follows."""
    answered = threading.Event()
    nobody, file = KeeperId("0" * 32), memory_file("question", 1)
    host.do(
        lambda: host.carriage.fetch(
            nobody, WALK, CommitId(Epoch(1), Step(1), 1), None, file, lambda _: answered.set(), lambda _: answered.set()
        )
    )
    assert answered.wait(SECONDS)
    os.close(file)


def tie(owner: Host, holder: Host, *, port: int | None = None, bandwidth: int = 0) -> None:
    """Let both know each other, and where the holder's carrier is (or what stands before it)."""
    owner.pin(holder)
    holder.pin(owner)
    allow(holder, owner.me)
    address = f"127.0.0.1:{port or holder.port()}"
    owner.do(lambda: owner.carriage.know(holder.me, (address,), bandwidth))


@contextlib.contextmanager
def two_hosts(folder: Path, policy: Policy = USUAL) -> Iterator[tuple[Host, Host]]:
    """An owner and a holder."""
    with contextlib.ExitStack() as stack:
        hosts = []
        for name in ("iruka", "kakashi"):
            host = Host(folder, name, policy)
            stack.callback(host.close)
            hosts.append(host)
        yield hosts[0], hosts[1]


class Cutter:
    """Stands between two carriers: counts what passes, and cuts the connection once, at any byte."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = self._door.getsockname()[1]
        self.passed = 0
        """Bytes towards the answerer, of all connections."""
        self.answered = 0
        """Bytes towards the caller."""
        self.cut_at: int | None = None
        """Of `passed`."""
        self.cut_answer_at: int | None = None
        """Of `answered`."""
        self.cut = threading.Event()
        threading.Thread(target=self._let_in, daemon=True).start()

    def _let_in(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self._door.accept()
                try:
                    answerer = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    caller.close()
                    continue
                threading.Thread(target=self._ask, args=(caller, answerer), daemon=True).start()
                threading.Thread(target=self._answer, args=(answerer, caller), daemon=True).start()

    def _ask(self, caller: socket.socket, answerer: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := caller.recv(1 << 16):
                cut = self.cut_at is not None and self.passed + len(piece) >= self.cut_at
                if self.cut_at is not None and cut:
                    piece, self.cut_at = piece[: self.cut_at - self.passed], None
                self.passed += len(piece)
                answerer.sendall(piece)
                if cut:
                    self.cut.set()
                    break
        _end(caller, answerer)

    def _answer(self, answerer: socket.socket, caller: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := answerer.recv(1 << 16):
                cut = self.cut_answer_at is not None and self.answered + len(piece) >= self.cut_answer_at
                if self.cut_answer_at is not None and cut:
                    piece, self.cut_answer_at = piece[: self.cut_answer_at - self.answered], None
                self.answered += len(piece)
                caller.sendall(piece)
                if cut:
                    self.cut.set()
                    break
        _end(caller, answerer)

    def close(self) -> None:
        _end(self._door)


def _end(*streams: socket.socket) -> None:
    for stream in streams:
        with contextlib.suppress(OSError):
            stream.shutdown(socket.SHUT_RDWR)
        stream.close()
