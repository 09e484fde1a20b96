"""One TLS connection to another keeper: frames in, frames out, and one end with a reason.

It never waits: the keeper's loop says when the socket can be read or written. What arrives is bounded before it is
decoded and looked at before it is believed; what cannot be right ends the link. How a link ends tells whose fault it
was: `PartnerUnreachable` is the network's, any other `PartnerError` is theirs.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import msgspec
from OpenSSL import SSL

from goldthread.errors import KeeperError, PartnerError, PartnerUnreachable
from goldthread.keeper.keys import CUT_THERE, certificate_at, fingerprint_of
from goldthread.keeper.loop import Loop
from goldthread.names import Span, seconds
from goldthread.wire.bonds import BOND_FRAME_BYTES_MOST
from goldthread.wire.codec import Decoder, encode
from goldthread.wire.scrutiny import check_heard

__all__ = ["STRANGER_FRAME_BYTES_MOST", "Disowned", "Link", "Stranger"]

STRANGER_FRAME_BYTES_MOST: Final = 16 << 10
"""Whoever has not proved a pinned key has nothing long to say."""
_REST_BYTES_MOST: Final = 2 * BOND_FRAME_BYTES_MOST
"""What the other side does not read is kept to this limit; then the link is ended."""
_PIECE_BYTES: Final = 16 << 10
"""A TLS record: nothing is left in OpenSSL's buffers, where the loop would not see it."""
_FAREWELL: Final = seconds(2)
_UNSEEN_MILLISECONDS: Final = 5000
"""How long the kernel waits for the other side to have received something."""
_PROBE_SECONDS: Final = 5
_PROBE_AGAIN_SECONDS: Final = 2
_PROBES: Final = 3


class Disowned(PartnerError):
    """The other side does not know the key of this keeper, or knows it no more."""


class Stranger(PartnerError):
    """Somebody else answers at that address."""


class Link:
    """`proved` is called when the other side has proved its key, `heard` with each message, `gone` once at the end.

    All are called from the loop. What `proved` and `heard` raise ends the link.
    """

    def __init__(
        self,
        loop: Loop,
        stream: socket.socket,
        context: SSL.Context,
        union: Any,
        *,
        server: bool,
        proved: Callable[[Link], None],
        heard: Callable[[Link, Any], None],
        gone: Callable[[Link, PartnerError], None],
    ) -> None:
        self._loop = loop
        self._stream = stream
        self._union = union
        self._proved = proved
        self._heard = heard
        self._gone = gone
        self._rest = bytearray()
        self._writing = not server
        self._ending = False
        self._turned_away = False
        self._reason: PartnerError | None = None
        self._decoder: Decoder | None = None
        self.certificate = b""
        """DER, of the key that the other side has proved; empty until then."""
        self.open = True
        self.peer = _host(stream)
        """The host at the other end."""
        _tune(stream)
        self._tls = SSL.Connection(context, stream)
        if server:
            self._tls.set_accept_state()
        else:
            self._tls.set_connect_state()
        loop.watch(stream.fileno(), self._on_ready, writing=self._writing)

    @property
    def is_proved(self) -> bool:
        return bool(self.certificate)

    @property
    def fingerprint(self) -> bytes:
        return fingerprint_of(self.certificate)

    def listen_to(self, frame_bytes_most: int) -> None:
        """Let messages come in, of this size at most. Until then nothing is read but the proof of the key."""
        self._decoder = Decoder(self._union, error=PartnerError, bytes_most=frame_bytes_most)

    def say(self, message: msgspec.Struct) -> None:
        """Send it, now or when the socket will."""
        if not self.open or self._ending:
            return
        self._rest += encode(message, bytes_most=BOND_FRAME_BYTES_MOST)
        if len(self._rest) > _REST_BYTES_MOST:
            self.end(PartnerUnreachable("it does not read what is sent to it"))
        else:
            self._attempt(self._flush)

    def say_last(self, message: msgspec.Struct, reason: PartnerError) -> None:
        """Send it, and end the link when the other side has read it, or has had time to."""
        self.say(message)
        self.finish(reason)

    def finish(self, reason: PartnerError) -> None:
        """End the link when all that was said is sent. A socket closed with something unread would lose it."""
        if self.open and not self._ending:
            self._ending = True
            self._loop.after(_FAREWELL, lambda: self.end(reason))
            self._reason = reason
            self._attempt(self._flush)

    def end(self, reason: PartnerError) -> None:
        """Let the connection go at once. A reason that was given before stands."""
        if not self.open:
            return
        self.open = False
        self._loop.unwatch(self._stream.fileno())
        with suppress(SSL.Error):
            self._tls.shutdown()
        self._stream.close()
        self._gone(self, self._reason or reason)

    def end_unless(self, holds: Callable[[], bool], span: Span, text: str) -> None:
        """End the link after the span, unless something holds by then."""

        def look() -> None:
            if self.open and not holds():
                self.end(PartnerUnreachable(text))

        self._loop.after(span, look)

    def _on_ready(self) -> None:
        self._attempt(self._go_on)

    def _attempt(self, deed: Callable[[], None]) -> None:
        """Do what can be done now. Every way in which it can fail is an end with a reason."""
        writing = False
        try:
            deed()
        except SSL.WantReadError:
            pass
        except SSL.WantWriteError:
            writing = True
        except SSL.ZeroReturnError:
            self.end(PartnerUnreachable("the other side has ended the link"))
        except SSL.SysCallError as error:
            self.end(PartnerUnreachable(f"the link was cut: {error.args[1] or 'end of stream'}"))
        except SSL.Error as error:
            self._turn_away(_fault(error, proved=self.is_proved))
        except KeeperError as error:
            self.end(PartnerError(str(error), hint=error.hint))
        except PartnerError as error:
            self.end(error)
        self._watch(writing or bool(self._rest and self.is_proved))

    def _watch(self, writing: bool) -> None:
        if self.open and writing != self._writing:
            self._writing = writing
            self._loop.watch(self._stream.fileno(), self._on_ready, writing=writing)

    def _turn_away(self, reason: PartnerError) -> None:
        """End the link when the other side has read OpenSSL's alert, which says why."""
        if self.is_proved or not self.open:
            self.end(reason)
            return
        self._turned_away = True
        self._reason = reason
        with suppress(OSError):
            self._stream.shutdown(socket.SHUT_WR)
        self._loop.after(_FAREWELL, lambda: self.end(reason))

    def _go_on(self) -> None:
        if self._turned_away:
            self._read_to_the_end()
            return
        if not self.is_proved:
            self._tls.do_handshake()
            self.certificate = certificate_at(self._tls)
            self._proved(self)
        if self.open and self._rest:
            with suppress(SSL.WantWriteError):
                self._flush()
        if self.open:
            self._read()

    def _read_to_the_end(self) -> None:
        with suppress(BlockingIOError):
            try:
                rest = self._stream.recv(_PIECE_BYTES)
            except ConnectionError:
                rest = b""
            if not rest:
                self.end(PartnerUnreachable("the other side has ended the link"))

    def _read(self) -> None:
        piece = self._tls.recv(_PIECE_BYTES)
        if self._ending:
            return
        if self._decoder is None:
            raise PartnerError("it spoke before it was listened to")
        for message, _ in self._decoder.feed(piece):
            check_heard(message)
            self._heard(self, message)
            if not self.open or self._ending:
                return

    def _flush(self) -> None:
        if not self.is_proved:
            return
        while self._rest:
            sent = self._tls.send(bytes(self._rest[:_PIECE_BYTES]))
            del self._rest[:sent]
        if self._ending:
            self._tls.shutdown()
            with suppress(OSError):  # It has gone already.
                self._stream.shutdown(socket.SHUT_WR)


def _fault(error: SSL.Error, *, proved: bool) -> PartnerError:
    """What OpenSSL found, in words. An alert is the other side's word only where that side has proved its key."""
    said = "; ".join(part[2] for part in error.args[0]) if error.args else ""
    if CUT_THERE in said:
        return PartnerUnreachable("the link was cut on its way there")
    if "certificate verify failed" in said:
        return Stranger("a stranger answers there: its key is not the one that is known")
    if "alert" in said and ("certificate" in said or "unknown ca" in said):
        return (Disowned if proved else PartnerError)("it does not know the key of this keeper")
    return PartnerError(f"it does not speak TLS 1.3 as a keeper does: {said or 'nothing is known'}")


def _host(stream: socket.socket) -> str:
    """Without the form that IPv4 addresses take on a socket for both."""
    try:
        return str(stream.getpeername()[0]).removeprefix("::ffff:")
    except OSError:
        return "?"


def _tune(stream: socket.socket) -> None:
    """Beats are small and must not wait; a link that brings nothing to the other side must end."""
    stream.setblocking(False)
    with suppress(OSError):  # Not every kind of stream and kernel has all of these: ends are noticed later then.
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNSEEN_MILLISECONDS)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBE_SECONDS)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_AGAIN_SECONDS)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
