"""One attempt to reach a keeper at one address: connect, prove the keys, greet."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Final

from OpenSSL import SSL

from goldthread.errors import PartnerError, PartnerUnreachable
from goldthread.keeper.dial import Dial
from goldthread.keeper.link import Link
from goldthread.keeper.loop import Loop
from goldthread.names import seconds
from goldthread.wire.bonds import BOND_FRAME_BYTES_MOST, FromAnswerer, Greeting, LinkRefused
from goldthread.wire.greetings import check_protocol
from goldthread.wire.scrutiny import printable

__all__ = ["Call"]

_GREETED: Final = seconds(5)
"""From the first packet to the other side's greeting."""


class Call:
    """`checked` sees the other side's fingerprint and raises where it is another's; `greeted` is called with its
    greeting, `heard` with what follows, and `gone` once at the end."""

    def __init__(
        self,
        loop: Loop,
        address: str,
        context: SSL.Context,
        greeting: Greeting,
        *,
        checked: Callable[[bytes], None],
        greeted: Callable[[Greeting], None],
        heard: Callable[[Any], None],
        gone: Callable[[PartnerError], None],
        frame_bytes_most: int = BOND_FRAME_BYTES_MOST,
    ) -> None:
        self._loop = loop
        self._context = context
        self._greeting = greeting
        self._checked = checked
        self._greeted = greeted
        self._heard = heard
        self._gone = gone
        self._frame_bytes_most = frame_bytes_most
        self._met = False
        self.address = address
        self.link: Link | None = None
        self._dial = Dial(loop, address, self._on_reached, gone)

    def leads_to(self, addresses: tuple[str, ...]) -> bool:
        """Whether somebody has answered, at one of these addresses."""
        return self.link is not None and self.address in addresses

    def cancel(self) -> None:
        """End it; `gone` is called where there was a link."""
        self._dial.cancel()
        if self.link is not None:
            self.link.finish(PartnerUnreachable("the link was ended here"))

    def _on_reached(self, stream: socket.socket) -> None:
        self.link = Link(
            self._loop,
            stream,
            self._context,
            FromAnswerer,
            server=False,
            proved=self._on_proved,
            heard=self._on_heard,
            gone=lambda _, error: self._gone(error),
        )
        self.link.end_unless(lambda: self._met, _GREETED, "no greeting came")

    def _on_proved(self, link: Link) -> None:
        self._checked(link.fingerprint)
        link.listen_to(self._frame_bytes_most)
        link.say(self._greeting)

    def _on_heard(self, link: Link, message: Any) -> None:
        if isinstance(message, LinkRefused):
            raise PartnerError(printable(message.text), hint=printable(message.hint))
        if self._met:
            self._heard(message)
            return
        if not isinstance(message, Greeting):
            raise PartnerError("its first word is no greeting")
        check_protocol(self._greeting, message)
        self._met = True
        self._greeted(message)
