"""Two carriers in this process, and between them a way that fails at any byte, as a network does."""

from __future__ import annotations

import contextlib
import queue
import select
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from goldthread.errors import GoldthreadError
from goldthread.keeper.keys import Keys, Partner
from goldthread.keeper.pipe import answer
from goldthread.keeper.receiving import Holdings, serve
from goldthread.keeper.sending import Sendings
from goldthread.keeper.shelf import Shelf
from goldthread.local import Home
from goldthread.names import CommitId, Epoch
from goldthread.wire.carrying import CarryCommit, KnowPartner
from tests.keeper.carriers import SECONDS, WALK, Life

_RESET: Final = struct.pack("ii", 1, 0)
"""As SO_LINGER: closing the socket sends RST."""
_PIECE_BYTES: Final = 64 << 10


@dataclass(frozen=True)
class Fault:
    """What becomes of one connection."""

    back: bool
    """Whether it fails on the way back, to who called."""
    at: int
    """After so many bytes that way."""
    how: str
    """`end`: both ends hear of an end. `half`: only who hears on that way does, and the other way stays. `reset`: what
    arrived and is not read yet is lost too. `stall`: nothing passes any more, and nobody hears of it."""


class Way:
    """Each connection meets the next fault; when there are no more, all passes."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = self._door.getsockname()[1]
        self.faults: deque[Fault] = deque()
        self.met = 0
        """Faults."""
        self.calls = 0
        self.passed = [0, 0]
        """Bytes there and back."""
        self._stalled: list[socket.socket] = []
        threading.Thread(target=self._let_in, daemon=True).start()

    def _let_in(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self._door.accept()
                self.calls += 1
                answerer = socket.create_connection(("127.0.0.1", self._target))
                fault = self.faults.popleft() if self.faults else None
                threading.Thread(target=self._bring, args=((caller, answerer), fault), daemon=True).start()

    def _bring(self, ends: tuple[socket.socket, socket.socket], fault: Fault | None) -> None:
        """One thread for both ways: a socket that another thread waits at would not be reset."""
        passed = [0, 0]
        with contextlib.suppress(OSError):
            while True:
                for source in select.select(ends, [], [])[0]:
                    back = source is ends[1]
                    piece = source.recv(_PIECE_BYTES)
                    if not piece:
                        _shut(*ends)
                        return
                    if fault is not None and back == fault.back:
                        piece = piece[: fault.at - passed[back]]
                    passed[back] += len(piece)
                    self.passed[back] += len(piece)
                    is_due = fault is not None and passed[fault.back] == fault.at
                    self.met += is_due
                    ends[not back].sendall(piece)
                    if fault is not None and is_due:
                        if fault.how == "stall":
                            self._stalled += ends
                        self._fail(*(ends if back else ends[::-1]), fault.how)
                        return
        _shut(*ends)

    def _fail(self, target: socket.socket, source: socket.socket, how: str) -> None:
        """`source`: who spoke last, and is not heard any more."""
        match how:
            case "end":
                _shut(source, target)
            case "reset":
                for end in (source, target):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    end.close()
            case "half":
                target.shutdown(socket.SHUT_WR)
                while piece := target.recv(_PIECE_BYTES):
                    source.sendall(piece)
                _shut(source, target)

    def close(self) -> None:
        _shut(self._door, *self._stalled)


def _shut(*ends: socket.socket) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


class TwoCarriers:
    """An owner's side and a holder's, without processes and keepers."""

    def __init__(self, folder: Path) -> None:
        mine, self._theirs = (Keys(Home(folder / name), name) for name in ("iruka", "kakashi"))
        for one, other in ((mine, self._theirs), (self._theirs, mine)):
            one.pin(Partner(other.me, other.name, (), (other.certificate,)))
        self.owner, self.holder = mine.me, self._theirs.me
        self.holdings = Holdings(lambda note, held: None, 0)
        self.holdings.member(self.owner, WALK).allow(Epoch(0), 1 << 30)
        self._door = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._let_in, daemon=True).start()
        self.way = Way(self._door.getsockname()[1])
        self.notes: queue.Queue[Any] = queue.Queue()
        self.sendings = Sendings(mine, lambda note, held: self.notes.put(note))
        self.know()
        self.shelf = Shelf()

    def know(self, bandwidth: int = 0) -> None:
        self.sendings.know(KnowPartner(self.holder, (f"127.0.0.1:{self.way.port}",), bandwidth))

    def _let_in(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._door.accept()[0],), daemon=True).start()

    def _serve(self, stream: socket.socket) -> None:
        with contextlib.suppress(GoldthreadError, OSError):
            serve(answer(self._theirs, stream), self.holdings)

    def life(self, chunks: int, epoch: int = 1) -> Life:
        host: Any = SimpleNamespace(shelf=self.shelf)  # All that a life needs of one.
        return Life(host, chunks, epoch)

    def carry(self, life: Life) -> None:
        """The newest commit of this life."""
        found = self.shelf.pin_newest(WALK, life.epoch)
        assert found is not None
        self.sendings.carry(CarryCommit(self.holder, WALK, found[0]), found[1])

    def dial_anew(self) -> None:
        """Have the next commit go over a connection of its own."""
        self.sendings.forget(self.holder)
        self.know()

    def answer(self) -> Any:
        return self.notes.get(timeout=SECONDS)

    def held_image(self, commit: CommitId) -> bytes:
        with self.holdings.member(self.owner, WALK).reading(commit) as (image, header):
            return bytes(image[: header.image_bytes])

    def close(self) -> None:
        self.sendings.forget(self.holder)
        self.holdings.drop(self.owner)
        self.way.close()
        _shut(self._door)


@contextlib.contextmanager
def two_carriers(folder: Path) -> Iterator[TwoCarriers]:
    carriers = TwoCarriers(folder)
    try:
        yield carriers
    finally:
        carriers.close()
