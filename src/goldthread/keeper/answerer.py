"""Hears partners that dial this keeper, guests with an invitation, and keepers of its circle. Others are turned away.

Whoever comes has proved a key by TLS before a byte of him is read. A pinned key is a partner's; any other is let
through only while an invitation is open or where there is a circle, and may then say two words: its greeting, and the
secret of the invitation, or a proof of the circle's.
Those that have proved nothing yet are few and have little time. Where they are too many, the address that holds the
most of them loses its oldest: a flood from one place shuts nobody else out.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from OpenSSL import SSL

from goldthread.errors import GoldthreadError, KeeperError, PartnerError, PartnerUnreachable
from goldthread.keeper.acceptance import Tied, check_newcomer, say_lack
from goldthread.keeper.acquaintances import Acquaintances, reached_at
from goldthread.keeper.circle import Circle
from goldthread.keeper.invitations import Invitations
from goldthread.keeper.keys import Partner, fingerprint_of
from goldthread.keeper.link import STRANGER_FRAME_BYTES_MOST, Link
from goldthread.keeper.seeker import TiedInCircle
from goldthread.names import KeeperId, milliseconds, seconds
from goldthread.rules.bond_events import BeatHeard, BondOver
from goldthread.rules.bond_orders import AnswerBeat
from goldthread.wire import bonds
from goldthread.wire.addresses import write_address
from goldthread.wire.greetings import check_protocol

__all__ = ["UNPROVED_MOST", "Answerer"]

UNPROVED_MOST: Final = 32
_PROVED: Final = seconds(5)
_WAITING_MOST: Final = 128
_PAUSE: Final = milliseconds(200)


@dataclass(slots=True)
class _Visitor:
    """Who is at the other end of a link."""

    link: Link
    partner: KeeperId | None = None
    greeting: bonds.Greeting | None = None
    is_of_circle: bool = False


class Answerer:
    """`met` is called with a partner that has greeted, `tied` when an invitation was accepted."""

    def __init__(
        self,
        known: Acquaintances,
        invitations: Invitations,
        met: Callable[[KeeperId], None],
        tied: Tied,
        circle: Circle | None,
        tied_in_circle: TiedInCircle,
    ) -> None:
        self._known = known
        self._loop = known.keeper.loop
        self._invitations = invitations
        self._met = met
        self._tied = tied
        self._circle = circle
        self._tied_in_circle = tied_in_circle
        self._door: socket.socket | None = None
        self._context: SSL.Context | None = None
        self._unproved: dict[Link, _Visitor] = {}
        """Oldest first."""
        self._partners: dict[KeeperId, _Visitor] = {}

    # The door

    def listen(self, host: str, port: int) -> int:
        """Let others come in at this host (nothing: all of this machine) and port (0: any); which port it is.

        Raises `KeeperError`.
        """
        try:
            self._door = _listening(host, port)
        except OSError as error:
            raise KeeperError(
                f"{write_address(host or '*', port)} cannot be listened at: {error.strerror or error}",
                hint="is another keeper there? Name another address with the setting `listen`",
            ) from error
        self._loop.watch(self._door.fileno(), self._let_in)
        return int(self._door.getsockname()[1])

    def close(self) -> None:
        if self._door is not None:
            self._loop.unwatch(self._door.fileno())
            self._door.close()
            self._door = None
        for visitor in [*self._unproved.values(), *self._partners.values()]:
            visitor.link.end(PartnerUnreachable("the keeper ends"))

    def change_key(self) -> None:
        """Those who come from now on see the new key."""
        self._context = None

    def _let_in(self) -> None:
        door = self._door
        if door is None:
            return
        try:
            stream, _ = door.accept()
        except OSError:
            # It went away again, or no descriptor is left for it. The others are served first.
            self._loop.unwatch(door.fileno())
            self._loop.after(_PAUSE, self._let_in_again)
            return
        try:
            if self._context is None:
                self._context = self._known.keys.context(server=True, stranger=self._lets_in)
        except KeeperError as error:
            stream.close()
            self._known.turned_away("?", PartnerError(str(error)))
            return
        link = Link(
            self._loop,
            stream,
            self._context,
            bonds.FromCaller,
            server=True,
            proved=self._on_proved,
            heard=self._on_heard,
            gone=self._on_gone,
        )
        self._unproved[link] = _Visitor(link)
        link.end_unless(lambda: link not in self._unproved, _PROVED, "it proved nothing in time")
        self._keep_few()

    def _lets_in(self, fingerprint: bytes) -> bool:
        """Whether a stranger may come in, to say who he is."""
        return self._circle is not None or self._invitations.are_open

    def _let_in_again(self) -> None:
        if self._door is not None:
            self._loop.watch(self._door.fileno(), self._let_in)

    def _keep_few(self) -> None:
        if len(self._unproved) <= UNPROVED_MOST:
            return
        crowd = Counter(link.peer for link in self._unproved).most_common(1)[0][0]
        oldest = next(link for link in self._unproved if link.peer == crowd)
        oldest.end(PartnerUnreachable("too many have come that have proved nothing"))

    # Visitors

    def _on_proved(self, link: Link) -> None:
        partner = self._known.keys.partner_of(link.fingerprint)
        if partner is None:
            link.listen_to(STRANGER_FRAME_BYTES_MOST)
            return
        self._unproved[link].partner = partner.keeper
        link.listen_to(bonds.BOND_FRAME_BYTES_MOST)
        if len(partner.certificates) > 1 and link.fingerprint == partner.fingerprints[1]:
            self._known.keys.pin(msgspec.structs.replace(partner, certificates=partner.certificates[1:]))

    def _on_gone(self, link: Link, error: PartnerError) -> None:
        visitor = self._unproved.pop(link, None)
        for keeper in [keeper for keeper, known in self._partners.items() if known.link is link]:
            visitor = self._partners.pop(keeper)
        if isinstance(error, PartnerUnreachable) or visitor is None:
            return
        if visitor.partner is not None:
            self._known.complain(visitor.partner, error)
        else:
            self._known.turned_away(link.peer, error)

    def _on_heard(self, link: Link, message: Any) -> None:
        visitor = self._visitor(link)
        if visitor is None:
            return
        try:
            if visitor.greeting is None or isinstance(message, bonds.Greeting):
                self._greet(visitor, message)
            elif visitor.partner is None:
                self._accept(visitor, visitor.greeting, message)
            else:
                self._hear(visitor, visitor.partner, visitor.greeting, message)
        except GoldthreadError as error:
            fault = error if isinstance(error, PartnerError) else PartnerError(str(error), hint=error.hint)
            link.say_last(bonds.LinkRefused(str(error), error.hint), fault)

    def _visitor(self, link: Link) -> _Visitor | None:
        among = [*self._unproved.values(), *self._partners.values()]
        return next((visitor for visitor in among if visitor.link is link), None)

    def _greet(self, visitor: _Visitor, greeting: Any) -> None:
        if not isinstance(greeting, bonds.Greeting):
            raise PartnerError("its first word is no greeting")
        known, first = self._known, visitor.greeting is None
        mine = known.greeting()
        check_protocol(mine, greeting)
        visitor.greeting = greeting
        if visitor.partner is not None:
            partner = known.keys.partner(visitor.partner)
            if partner is None:
                raise PartnerError("the bond is over")
            known.check(partner, greeting)
            known.learn(visitor.partner, greeting, came_from=visitor.link.peer)
        if first:
            visitor.link.say(mine)
            if visitor.partner is not None:
                self._take_place(visitor, visitor.partner)

    def _take_place(self, visitor: _Visitor, keeper: KeeperId) -> None:
        """Of two links from one partner the later one counts."""
        self._unproved.pop(visitor.link, None)
        before, self._partners[keeper] = self._partners.get(keeper), visitor
        if before is not None:
            before.link.end(PartnerUnreachable("it has dialled anew"))
        self._met(keeper)

    def _accept(self, visitor: _Visitor, greeting: bonds.Greeting, message: Any) -> None:
        if self._circle is not None and isinstance(message, bonds.ShowCircle | bonds.TieBond):
            self._meet_in_circle(self._circle, visitor, greeting, message)
            return
        if not isinstance(message, bonds.AcceptInvitation):
            raise PartnerError("it is not known, and may say nothing but the secret of an invitation")
        given = self._invitations.find(message.secret, greeting.keeper)
        check_newcomer(self._known, greeting, visitor.link.fingerprint)
        addresses = reached_at(greeting, came_from=visitor.link.peer)
        partner = Partner(greeting.keeper, greeting.name, addresses, (visitor.link.certificate,))
        self._known.keys.pin(partner)
        again, given.used_by = given.used_by is not None, greeting.keeper
        accepted = bonds.InvitationAccepted(given.terms, self._known.needs())
        visitor.link.say_last(accepted, PartnerUnreachable("the invitation was used"))
        if not again:
            self._tied(partner, given.terms, message.terms)
            lack = say_lack(partner.name, message.needs, self._known.keys.name, given.terms.memory)
            if lack:
                self._known.keeper.warn(None, lack)

    def _meet_in_circle(self, circle: Circle, visitor: _Visitor, greeting: bonds.Greeting, message: Any) -> None:
        """First the proof, which is answered by what is offered here; then, on the same link, the bond. It may be tied
        already: the answer to the first time was lost."""
        link, known = visitor.link, self._known
        ends = link.fingerprint, known.keys.fingerprint
        check_newcomer(known, greeting, link.fingerprint)
        if isinstance(message, bonds.ShowCircle):
            circle.check_caller(message.proof, *ends)
            visitor.is_of_circle = True
            link.say(circle.offer(*ends))
            return
        if not visitor.is_of_circle:
            raise PartnerError("it has not shown the circle")
        circle.check_tie(greeting.keeper)
        addresses = reached_at(greeting, came_from=link.peer)
        partner = Partner(greeting.keeper, greeting.name, addresses, (link.certificate,))
        known.keys.pin(partner)
        link.say_last(bonds.BondAgreed(circle.terms), PartnerUnreachable("the bond is tied"))
        self._tied_in_circle(partner, circle.terms, message.terms, message.reason)

    def _hear(self, visitor: _Visitor, keeper: KeeperId, greeting: bonds.Greeting, message: Any) -> None:
        match message:
            case bonds.Beat():
                self._known.keeper.tell(BeatHeard(keeper, message.number, message.facts))
            case bonds.RenewKey():
                self._renew(visitor.link, keeper, message.certificate)
            case bonds.EndBond():
                visitor.link.say(bonds.BondEnded())
                self._known.keeper.tell(BondOver(keeper, message.text))
            case bonds.AcceptInvitation() | bonds.ShowCircle() | bonds.TieBond():
                self._accept(visitor, greeting, message)

    def _renew(self, link: Link, keeper: KeeperId, certificate: bytes) -> None:
        """Know the partner by both keys until it proves the new one."""
        partner = self._known.keys.partner(keeper)
        other = self._known.keys.partner_of(fingerprint_of(certificate))
        if partner is None or (other is not None and other.keeper != keeper):
            raise PartnerError("it wants to change to a key that is another keeper's")
        if certificate not in partner.certificates:
            both = (link.certificate, certificate)
            self._known.keys.pin(msgspec.structs.replace(partner, certificates=both))
        link.say(bonds.KeyRenewed())

    # What the keeper says to partners here

    def answer(self, order: AnswerBeat) -> None:
        visitor = self._partners.get(order.partner)
        if visitor is not None:
            visitor.link.say(bonds.BeatAnswer(order.number, order.facts_seen, order.promise, order.promised))

    def forget(self, keeper: KeeperId) -> None:
        """End the partner's link when it has read what was said to it."""
        visitor = self._partners.pop(keeper, None)
        if visitor is not None:
            visitor.link.finish(PartnerUnreachable("the bond is over"))


def _listening(host: str, port: int) -> socket.socket:
    """A socket for both versions of the protocol where that can be."""
    if not host and socket.has_dualstack_ipv6():
        try:
            return _made(socket.AF_INET6, ("", port), dualstack=True)
        except OSError:
            pass  # The kernel has IPv6 and this machine does not use it.
    family, _, _, _, place = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM)[0]
    return _made(family, place[:2], dualstack=False)


def _made(family: socket.AddressFamily, place: tuple[Any, ...], *, dualstack: bool) -> socket.socket:
    door = socket.create_server(place, family=family, backlog=_WAITING_MOST, dualstack_ipv6=dualstack)
    door.setblocking(False)
    return door
