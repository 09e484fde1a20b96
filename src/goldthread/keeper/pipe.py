"""A pipe: one connection between two carriers, for one thread at a time.

Mutual TLS 1.3 with the keys of both keepers, over a blocking socket. The TLS engine works on memory, and the bytes go
between it and the socket in large pieces: a system call for each record of 16 KiB would cost as much as the cipher.
What is sent is read where it lies (in the mapping of a slot), what is received goes to where it shall lie. Of a large
bulk a second thread sends what is enciphered, or receives what is known to come, while the first one is at the cipher:
to move bytes through the kernel costs as much as that.

Every wait has an end. What cannot be right raises `PartnerError`, a connection that ends or stays silent
`PartnerUnreachable`; the pipe is of no more use then.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, Final

import msgspec
from cryptography.hazmat.bindings.openssl.binding import Binding
from OpenSSL import SSL

from goldthread import errors
from goldthread.errors import GoldthreadError, PartnerError, PartnerUnreachable
from goldthread.keeper.keys import Keys, fingerprint_at
from goldthread.names import KeeperId
from goldthread.version import VERSION
from goldthread.wire.scrutiny import printable
from goldthread.wire.stream import (
    HEAD_BYTES,
    STREAM_PROTOCOL,
    STREAM_PROTOCOL_OLDEST,
    FromAnsweringCarrier,
    FromCallingCarrier,
    StreamDecoder,
    StreamGreeting,
    StreamRefused,
    check_greeting,
    frame_head,
    read_head,
)

__all__ = ["Pipe", "answer", "call"]

_PATIENCE_SECONDS: Final = 15.0
"""How long the other side may send or take nothing in the midst of something."""
_CALL_SECONDS: Final = 5.0
_LAST_WORD_SECONDS: Final = 2.0
_LAST_WORD_PIECES: Final = 1024
_RECORD_BYTES: Final = 16 << 10
"""The most that TLS gives at a time."""
_PIECE_BYTES: Final = 256 << 10
"""Measured: what is enciphered, sent and received at a time stays in the L2 cache."""
_LARGE_BYTES: Final = 4 << 20
"""From this size on a second thread helps."""
_LOAD_BYTES: Final = 512 << 10
"""What it sends or receives at a time."""
_LOADS: Final = 3
_MADE_BYTES: Final = 2 * _LOAD_BYTES
_PARTIAL_WRITES: Final = 1
"""SSL_MODE_ENABLE_PARTIAL_WRITE: a return to Python after each record. What is written goes to memory, and fits."""
_CIPHERS: Final = b"TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"
"""All are safe; the first is the fastest."""


class Pipe:
    def __init__(self, stream: socket.socket, tls: SSL.Connection, union: Any) -> None:
        self._stream = stream
        self._tls = tls
        self._take = _reader(tls)
        self._made = _writer(tls)
        self._decoder = StreamDecoder(union)
        self._arrived = memoryview(bytearray(_PIECE_BYTES))
        self._second: ThreadPoolExecutor | None = None
        self._makers: deque[Callable[[], memoryview]] = deque()
        """As `_made`, each into memory of its own, for the second thread."""
        self._sending: deque[Future[None]] = deque()
        """What it sends now, oldest first."""
        self._to_come = 0
        """Bytes that are known to come, and that the second thread was not told to receive yet."""
        self._coming: deque[tuple[Future[int], memoryview]] = deque()
        """What it receives now, oldest first, and into which memory."""
        self._spare: list[memoryview] = []
        self.partner = KeeperId("")
        """Who the other side has proved to be."""

    def shake_hands(self, keys: Keys) -> None:
        """Prove both keys, and agree on a protocol. The other side must be a pinned partner."""
        with _said_plainly():
            while True:
                try:
                    self._tls.do_handshake()
                    break
                except SSL.WantReadError:
                    self._flush()
                    self._fill()
            self._flush()
        partner = keys.partner_of(fingerprint_at(self._tls))
        if partner is None:
            raise PartnerError("a stranger's key: no bond is tied with it")
        self.partner = partner.keeper
        self.send(StreamGreeting(STREAM_PROTOCOL_OLDEST, STREAM_PROTOCOL, VERSION))
        greeting, _ = self.receive()
        check_greeting(greeting)

    def send(self, message: msgspec.Struct, bulk: Sequence[memoryview] = ()) -> None:
        """A large bulk may be under way still when this returns; what goes wrong with it is raised by the next call."""
        size = sum(map(len, bulk))
        is_large = size >= _LARGE_BYTES
        piece = _LOAD_BYTES if is_large else _PIECE_BYTES
        with _said_plainly():
            self._tls.sendall(frame_head(message, size))
            for part in bulk:
                for start in range(0, len(part), piece):
                    self._tls.sendall(part[start : start + piece])
                    if is_large:
                        self._have_sent()
                    else:
                        self._flush()
            if not is_large:
                self._flush()

    def wait(self, seconds: float) -> bool:
        """Whether a frame has begun to arrive within that time."""
        self._stream.settimeout(seconds)
        with _said_plainly():
            try:
                while True:
                    try:
                        self._tls.recv(1, socket.MSG_PEEK)
                        return True
                    except SSL.WantReadError:
                        self._fill()
            except TimeoutError:
                return False
            finally:
                self._stream.settimeout(_PATIENCE_SECONDS)

    def receive(self) -> tuple[Any, int]:
        """The next message, and how many bytes of bulk follow: the caller reads them, or gives the pipe up.

        Raises what a `StreamRefused` names.
        """
        with _said_plainly():
            self._settle()
        length, bulk = read_head(bytes(self.read(HEAD_BYTES)))
        message = self._decoder.read(bytes(self.read(length)))
        if isinstance(message, StreamRefused):
            raise _error_of(message)
        if bulk >= _LARGE_BYTES:
            # A part has arrived already, at most what is received at a time; and no cipher makes bytes fewer.
            self._to_come = bulk - _PIECE_BYTES
            self._have_come()
        return message, bulk

    def read(self, count: int) -> memoryview:
        """Bulk into memory of its own; the caller has bounded it."""
        view = memoryview(bytearray(count))
        self.read_into(view)
        return view

    def read_into(self, view: memoryview) -> None:
        """Bulk, to where it shall lie."""
        at, end = 0, len(view)
        with _said_plainly():
            while at < end:
                try:
                    at += self._take(view[at:])
                except SSL.WantReadError:
                    self._fill()

    def refuse(self, error: GoldthreadError) -> None:
        """Say why, and wait a while until the other side has heard it and ended the connection."""
        with suppress(GoldthreadError, OSError):
            self.send(StreamRefused.of(error))
            self._stream.shutdown(socket.SHUT_WR)
            self._stream.settimeout(_LAST_WORD_SECONDS)
            for _ in range(_LAST_WORD_PIECES):
                if not self._stream.recv_into(self._arrived):
                    break

    def cut(self) -> None:
        """End the connection from another thread: whoever waits in it gets an error."""
        with suppress(OSError):
            self._stream.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        if self._second is not None:
            self.cut()
            self._second.shutdown(cancel_futures=True)
        self._stream.close()

    def _fill(self) -> None:
        """Give the engine what has arrived."""
        if self._coming:
            received, memory = self._coming.popleft()
            self._tls.bio_write(memory[: received.result()])
            self._spare.append(memory)
            self._have_come()
        else:
            self._tls.bio_write(self._arrived[: self._receive(self._arrived)])

    def _receive(self, memory: memoryview) -> int:
        count = self._stream.recv_into(memory)
        if count == 0:
            raise PartnerUnreachable("the partner's carrier has closed the connection")
        return count

    def _flush(self) -> None:
        """Send what the engine has made."""
        self._settle()
        while made := self._made():
            self._stream.sendall(made)

    # The second thread

    def _have_come(self) -> None:
        """Have it receive what is known to come."""
        while self._to_come and len(self._coming) < _LOADS:
            memory = self._spare.pop() if self._spare else memoryview(bytearray(_LOAD_BYTES))
            count = min(self._to_come, _LOAD_BYTES)
            self._to_come -= count
            self._coming.append((self._helper().submit(self._receive_all, memory[:count]), memory))

    def _receive_all(self, load: memoryview) -> int:
        """As much as comes. What ends it is not raised before all that came is used."""
        at = 0
        try:
            while at < len(load):
                at += self._receive(load[at:])
        except (OSError, PartnerUnreachable):
            if at == 0:
                raise
        return at

    def _have_sent(self) -> None:
        """Have it send what the engine has made; at most one load waits behind the one that is sent."""
        while True:
            if len(self._sending) == _LOADS - 1:
                self._sending.popleft().result()
            if len(self._makers) < _LOADS:
                self._makers.append(_writer(self._tls))
            self._makers.rotate()
            made = self._makers[0]()
            if not made:
                return
            self._sending.append(self._helper().submit(self._stream.sendall, made))

    def _settle(self) -> None:
        """Wait until all is sent."""
        while self._sending:
            self._sending.popleft().result()

    def _helper(self) -> ThreadPoolExecutor:
        if self._second is None:
            self._second = ThreadPoolExecutor(1, "goldthread-pipe")
        return self._second


def call(keys: Keys, addresses: Sequence[str], partner: KeeperId) -> Pipe:
    """A pipe to the carrier of this partner, at the first address where it answers."""
    problem: GoldthreadError = PartnerUnreachable("no address of the partner's carrier is known")
    for address in addresses:
        host, _, port = address.rpartition(":")
        try:
            stream = socket.create_connection((host.strip("[]"), int(port)), _CALL_SECONDS)
        except (OSError, ValueError) as error:
            problem = PartnerUnreachable(f"the partner's carrier does not answer at {address}: {error}")
            continue
        try:
            return _greeted(stream, keys, server=False, expected=partner)
        except PartnerError as error:
            problem = error
    raise problem


def answer(keys: Keys, stream: socket.socket) -> Pipe:
    """The pipe of a connection that came in; its partner is known by its key."""
    return _greeted(stream, keys, server=True, expected=None)


def _greeted(stream: socket.socket, keys: Keys, *, server: bool, expected: KeeperId | None) -> Pipe:
    try:
        stream.settimeout(_PATIENCE_SECONDS)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = keys.context(server=server)
        context.set_tls13_ciphersuites(_CIPHERS)
        context.clear_mode(_PARTIAL_WRITES)
        tls = SSL.Connection(context, None)
        tls.set_accept_state() if server else tls.set_connect_state()
        pipe = Pipe(stream, tls, FromCallingCarrier if server else FromAnsweringCarrier)
        pipe.shake_hands(keys)
        if expected not in (None, pipe.partner):
            raise PartnerError("another keeper answers at the partner's address")
    except BaseException:
        stream.close()
        raise
    return pipe


def _error_of(refused: StreamRefused) -> GoldthreadError:
    """The error that a refusal names, of those that a partner may name."""
    kind = getattr(errors, refused.error, None)
    if not (isinstance(kind, type) and issubclass(kind, GoldthreadError)):
        kind = PartnerError
    return kind(printable(refused.text), hint=printable(refused.hint))


def _reader(tls: SSL.Connection) -> Callable[[memoryview], int]:
    """What takes from the engine what is there, at most a record.

    `recv_into` makes memory of its own for each record and copies: a fifth of all that receiving costs. So the engine
    is given the memory itself, beneath pyOpenSSL; what goes wrong, and all where it cannot be had, is left to that.
    """

    def by_the_book(view: memoryview) -> int:
        return tls.recv_into(view, min(len(view), _RECORD_BYTES))

    try:
        engine, read, memory_of = tls._ssl, Binding.lib.SSL_read, Binding.ffi.from_buffer
    except AttributeError:
        return by_the_book

    def straight(view: memoryview) -> int:
        count = int(read(engine, memory_of(view, require_writable=True), len(view)))
        return count if count > 0 else by_the_book(view)

    return straight


def _writer(tls: SSL.Connection) -> Callable[[], memoryview]:
    """What the engine has made and is to be sent, piece by piece; at last nothing.

    `bio_read` asks for fresh memory each time and copies twice: a fifth of all that sending costs. As in `_reader`.
    """

    def by_the_book() -> memoryview:
        try:
            return memoryview(tls.bio_read(_MADE_BYTES))
        except SSL.WantReadError:  # It has nothing more.
            return memoryview(b"")

    made = memoryview(bytearray(_MADE_BYTES))
    try:
        engine, read, memory = tls._from_ssl, Binding.lib.BIO_read, Binding.ffi.from_buffer(made)
    except AttributeError:
        return by_the_book

    def straight() -> memoryview:
        count = int(read(engine, memory, len(made)))
        return made[:count] if count > 0 else by_the_book()

    return straight


@contextmanager
def _said_plainly() -> Iterator[None]:
    """What socket and TLS raise, as errors of ours."""
    try:
        yield
    except TimeoutError as error:
        raise PartnerUnreachable(f"the partner's carrier is silent for {_PATIENCE_SECONDS:g} s") from error
    except (SSL.ZeroReturnError, SSL.SysCallError, OSError) as error:
        raise PartnerUnreachable(f"the connection to the partner's carrier was cut: {error}") from error
    except SSL.Error as error:
        raise PartnerError(f"the partner's carrier does not prove its key, or refuses ours: {error}") from error
