"""A pipe: one connection between two carriers, for one thread at a time.

Mutual TLS 1.3 with the keys of both keepers. The TLS engine reads and writes the socket itself, and waits there. What
is sent is read where it lies (in the mapping of a slot), what is received goes to where it shall lie.

Every wait has an end. What cannot be right raises `PartnerError`, a connection that ends or stays silent
`PartnerUnreachable`; the pipe is of no more use then.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import termios
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any, Final, ParamSpec, TypeVar

import msgspec
from cryptography.hazmat.bindings.openssl.binding import Binding
from OpenSSL import SSL

from goldthread import errors
from goldthread.errors import GoldthreadError, PartnerError, PartnerUnreachable
from goldthread.keeper.keys import CUT_THERE, Keys, fingerprint_at
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
_LAST_WORD_BYTES: Final = 256 << 10
_RECORD_BYTES: Final = 16 << 10
"""The most that TLS gives at a time."""
_PARTIAL_WRITES: Final = 1
"""SSL_MODE_ENABLE_PARTIAL_WRITE: a return to Python after each record."""
_CIPHERS: Final = b"TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"
"""All are safe; the first is the fastest."""

_TIMEVAL: Final = struct.Struct("@ll")
"""Seconds and microseconds, as the kernel wants them."""
_COUNT: Final = struct.Struct("@i")

Paced = Callable[[memoryview], Iterator[memoryview]]
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
        self.sent = 0
        """Bytes of bulk, all under the keys of this connection."""

    def shake_hands(self, keys: Keys) -> None:
        """Prove both keys, and agree on a protocol. The other side must be a pinned partner."""
        with self._said_plainly():
            self._patiently(self._tls.do_handshake)
        partner = keys.partner_of(fingerprint_at(self._tls))
        if partner is None:
            raise PartnerError("a stranger's key: no bond is tied with it")
        self.partner = partner.keeper
        self.send(StreamGreeting(STREAM_PROTOCOL_OLDEST, STREAM_PROTOCOL, VERSION))
        greeting, _ = self.receive()
        check_greeting(greeting)

    def send(self, message: msgspec.Struct, bulk: Sequence[memoryview] = (), paced: Paced | None = None) -> None:
        """`paced` gives a part of the bulk piece by piece, each when it may go."""
        with self._said_plainly():
            self._patiently(self._tls.send, frame_head(message, sum(map(len, bulk))))
            for part in filter(len, bulk):
                for piece in (part,) if paced is None else paced(part):
                    self._patiently(self._tls.send, piece)
                    self.sent += len(piece)

    def wait(self, seconds: float) -> bool:
        """Whether a frame has begun to arrive within that time."""
        end = monotonic() + seconds
        with self._said_plainly():
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
        with self._said_plainly():
            while at < end:
                at += self._patiently(self._take, view[at:])

    def refuse(self, error: GoldthreadError) -> None:
        """Say why, and end."""
        with suppress(GoldthreadError, OSError):
            self.send(StreamRefused.of(error))
            self.hear_out()

    def hear_out(self) -> None:
        """Say no more, and wait a while until the other side has heard it all and ended the connection. Who closes a
        socket where something is unread loses the last word."""
        end = monotonic() + _PATIENCE_SECONDS
        last = bytearray(_LAST_WORD_BYTES)
        with suppress(OSError):
            self._stream.shutdown(socket.SHUT_WR)
            while monotonic() < end and self._is_ready(select.POLLIN, _LAST_WORD_SECONDS):
                if not self._stream.recv_into(last):
                    break

    def cut(self) -> None:
        """End the connection from another thread: whoever waits in it gets an error."""
        with suppress(OSError):
            self._stream.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._stream.close()

    @contextmanager
    def _said_plainly(self) -> Iterator[None]:
        """What socket and TLS raise, as errors of ours."""
        try:
            yield
        except TimeoutError as error:
            raise PartnerUnreachable(f"the partner's carrier is silent for {_PATIENCE_SECONDS:g} s") from error
        except (SSL.ZeroReturnError, SSL.SysCallError, OSError) as error:
            raise PartnerUnreachable(f"the connection to the partner's carrier was cut: {_words(error)}") from error
        except SSL.Error as error:
            words = _words(error)
            if CUT_THERE in words:
                raise PartnerUnreachable("the connection to the partner's carrier was cut on its way there") from error
            # The caller hears only afterwards whether its own key is good: by an alert.
            if self.partner and "alert" not in words:
                text = "what the partner's carrier sends was changed on its way"
            else:
                text = "the partner's carrier does not prove its key, or refuses ours"
            raise PartnerError(f"{text}: {words}") from error

    def _patiently(self, action: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """Have the engine do something, for as long as the other side is not silent. Raises `TimeoutError`."""
        while True:
            try:
                return action(*given, **named)
            except SSL.WantReadError:
                wanted = select.POLLIN
            except SSL.WantWriteError:
                wanted = select.POLLOUT
            self._wait_until(wanted)

    def _wait_until(self, wanted: int) -> None:
        """Until the engine may go on. Raises `TimeoutError` where the other side is silent.

        The kernel calls a socket writable when a third of what it keeps is gone, which a slow link takes a minute
        for: whatever has gone shows that the other side takes it.
        """
        end = monotonic() + _PATIENCE_SECONDS - _ENGINE_SECONDS
        left = self._unsent()
        while not self._is_ready(wanted, min(_ENGINE_SECONDS, end - monotonic())):
            if wanted == select.POLLOUT and self._unsent() < left:
                return
            if monotonic() >= end:
                raise TimeoutError

    def _unsent(self) -> int:
        """Bytes that the other side has not taken yet; 0 where the kernel does not say."""
        try:
            return int(_COUNT.unpack(fcntl.ioctl(self._stream, termios.TIOCOUTQ, bytes(_COUNT.size)))[0])
        except OSError:
            return 0

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
        try:
            pipe.shake_hands(keys)
        except PartnerUnreachable:
            raise
        except PartnerError:
            pipe.hear_out()  # TLS has said why.
            raise
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


def _words(error: Exception) -> str:
    """What a socket or the engine found, as a person would say it."""
    match error.args:
        case (list(parts),):
            return "; ".join(part[-1] for part in parts)
        case (int(number), *_) if number > 0:
            return os.strerror(number)
        case _:
            return "end of stream"
