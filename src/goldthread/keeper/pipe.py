"""A pipe: one connection between two carriers, for one thread at a time.

Mutual TLS 1.3 with the keys of both keepers. The TLS engine reads and writes the socket itself, and waits there. What
is sent is read where it lies (in the mapping of a slot), what is received goes to where it shall lie.

Every wait has an end. What cannot be right raises `PartnerError`, a connection that ends or stays silent
`PartnerUnreachable`; the pipe is of no more use then.
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any, Final, ParamSpec, TypeVar

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
_ENGINE_SECONDS: Final = 1
"""So long the engine waits by itself. A signal may end that early; the rest of the patience is waited outside."""
_CALL_SECONDS: Final = 5.0
_LAST_WORD_SECONDS: Final = 2.0
_LAST_WORD_PIECES: Final = 1024
_LAST_WORD_BYTES: Final = 256 << 10
_RECORD_BYTES: Final = 16 << 10
"""The most that TLS gives at a time."""
_PARTIAL_WRITES: Final = 1
"""SSL_MODE_ENABLE_PARTIAL_WRITE: a return to Python after each record."""
_CIPHERS: Final = b"TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"
"""All are safe; the first is the fastest."""

_TIMEVAL: Final = struct.Struct("@ll")
"""Seconds and microseconds, as the kernel wants them."""

P = ParamSpec("P")
T = TypeVar("T")


class Pipe:
    def __init__(self, stream: socket.socket, tls: SSL.Connection, union: Any) -> None:
        """The stream must block; the engine is at it."""
        self._stream = stream
        self._tls = tls
        self._take = _reader(tls)
        self._decoder = StreamDecoder(union)
        self.partner = KeeperId("")
        """Who the other side has proved to be."""

    def shake_hands(self, keys: Keys) -> None:
        """Prove both keys, and agree on a protocol. The other side must be a pinned partner."""
        with _said_plainly():
            self._patiently(self._tls.do_handshake)
        partner = keys.partner_of(fingerprint_at(self._tls))
        if partner is None:
            raise PartnerError("a stranger's key: no bond is tied with it")
        self.partner = partner.keeper
        self.send(StreamGreeting(STREAM_PROTOCOL_OLDEST, STREAM_PROTOCOL, VERSION))
        greeting, _ = self.receive()
        check_greeting(greeting)

    def send(self, message: msgspec.Struct, bulk: Sequence[memoryview] = ()) -> None:
        with _said_plainly():
            self._patiently(self._tls.send, frame_head(message, sum(map(len, bulk))))
            for part in filter(len, bulk):
                self._patiently(self._tls.send, part)

    def wait(self, seconds: float) -> bool:
        """Whether a frame has begun to arrive within that time."""
        end = monotonic() + seconds
        with _said_plainly():
            while self._tls.pending() or self._is_ready(select.POLLIN, end - monotonic()):
                with suppress(SSL.WantReadError):
                    self._tls.recv(1, socket.MSG_PEEK)
                    return True
        return False

    def receive(self) -> tuple[Any, int]:
        """The next message, and how many bytes of bulk follow: the caller reads them, or gives the pipe up.

        Raises what a `StreamRefused` names.
        """
        length, bulk = read_head(bytes(self.read(HEAD_BYTES)))
        message = self._decoder.read(bytes(self.read(length)))
        if isinstance(message, StreamRefused):
            raise _error_of(message)
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
                at += self._patiently(self._take, view[at:])

    def refuse(self, error: GoldthreadError) -> None:
        """Say why, and wait a while until the other side has heard it and ended the connection."""
        with suppress(GoldthreadError, OSError):
            self.send(StreamRefused.of(error))
            self._stream.shutdown(socket.SHUT_WR)
            self._stream.settimeout(_LAST_WORD_SECONDS)
            last = bytearray(_LAST_WORD_BYTES)
            for _ in range(_LAST_WORD_PIECES):
                if not self._stream.recv_into(last):
                    break

    def cut(self) -> None:
        """End the connection from another thread: whoever waits in it gets an error."""
        with suppress(OSError):
            self._stream.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._stream.close()

    def _patiently(self, action: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """Have the engine do something, for as long as the other side is not silent. Raises `TimeoutError`."""
        while True:
            try:
                return action(*given, **named)
            except SSL.WantReadError:
                wanted = select.POLLIN
            except SSL.WantWriteError:
                wanted = select.POLLOUT
            if not self._is_ready(wanted, _PATIENCE_SECONDS - _ENGINE_SECONDS):
                raise TimeoutError

    def _is_ready(self, wanted: int, seconds: float) -> bool:
        """Whether the socket can be read or written, or has ended, within that time."""
        watch = select.poll()
        watch.register(self._stream, wanted)
        return bool(watch.poll(max(0.0, 1e3 * seconds)))


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
        stream.settimeout(None)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for which in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            stream.setsockopt(socket.SOL_SOCKET, which, _TIMEVAL.pack(_ENGINE_SECONDS, 0))
        context = keys.context(server=server)
        context.set_tls13_ciphersuites(_CIPHERS)
        context.clear_mode(_PARTIAL_WRITES)
        tls = SSL.Connection(context, stream)
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
    is given the memory itself, beneath pyOpenSSL, which says what went wrong, and does all where that cannot be had.
    """

    def by_the_book(view: memoryview) -> int:
        return tls.recv_into(view, min(len(view), _RECORD_BYTES))

    try:
        engine, read, memory_of, fail = tls._ssl, Binding.lib.SSL_read, Binding.ffi.from_buffer, tls._raise_ssl_error
    except AttributeError:
        return by_the_book

    def straight(view: memoryview) -> int:
        count = int(read(engine, memory_of(view, require_writable=True), len(view)))
        if count <= 0:
            fail(engine, count)
        return count

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
