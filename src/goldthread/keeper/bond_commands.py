"""What commands ask of the keeper about its bonds: keys and codes are the links', all else becomes an event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from goldthread.keeper.door import Connection
from goldthread.keeper.keeper import Keeper
from goldthread.keeper.keys import Partner
from goldthread.keeper.links import Links
from goldthread.rules import bond_events
from goldthread.wire import bond_requests
from goldthread.wire.messages import Done

__all__ = ["BondCommands"]


class BondCommands:
    def __init__(self, keeper: Keeper, links: Links) -> None:
        self._keeper = keeper
        self._links = links
        self.hear: dict[type[Any], Callable[[Connection, Any, list[int]], None]] = {
            bond_requests.InviteRequest: self._invite,
            bond_requests.AcceptRequest: self._accept,
            bond_requests.TermsRequest: self._terms,
            bond_requests.BondEndRequest: self._end,
            bond_requests.BondForgetRequest: self._forget,
            bond_requests.ConfirmRequest: self._confirm,
            bond_requests.RekeyRequest: self._rekey,
            bond_requests.TakeoverRequest: self._takeover,
        }

    def _invite(self, connection: Connection, request: bond_requests.InviteRequest, descriptors: list[int]) -> None:
        connection.send(bond_requests.Invited(self._links.invite(request.terms)))

    def _accept(self, connection: Connection, request: bond_requests.AcceptRequest, descriptors: list[int]) -> None:
        def then(partner: Partner, lack: str) -> None:
            bonded = f"{self._keeper.keys.name} and {partner.name} are bonded"
            connection.send(Done(f"{bonded}; {lack}" if lack else bonded))

        self._links.accept(request.code, request.terms, then, connection.refuse)

    def _rekey(self, connection: Connection, request: bond_requests.RekeyRequest, descriptors: list[int]) -> None:
        done = Done("the key is changed, and every partner knows it")
        self._links.rekey(lambda: connection.send(done), connection.refuse)

    def _terms(self, connection: Connection, request: bond_requests.TermsRequest, descriptors: list[int]) -> None:
        ticket = self._keeper.ticket(connection)
        self._keeper.tell(bond_events.TermsAsked(ticket, request.partner, request.terms))

    def _end(self, connection: Connection, request: bond_requests.BondEndRequest, descriptors: list[int]) -> None:
        self._keeper.tell(bond_events.BondEndAsked(self._keeper.ticket(connection), request.partner))

    def _forget(self, connection: Connection, request: bond_requests.BondForgetRequest, descriptors: list[int]) -> None:
        self._keeper.tell(bond_events.BondForgetAsked(self._keeper.ticket(connection), request.partner))

    def _confirm(self, connection: Connection, request: bond_requests.ConfirmRequest, descriptors: list[int]) -> None:
        self._keeper.tell(bond_events.BondConfirmed(self._keeper.ticket(connection), request.partner))

    def _takeover(self, connection: Connection, request: bond_requests.TakeoverRequest, descriptors: list[int]) -> None:
        ticket = self._keeper.ticket(connection)
        to = self._keeper.keys.me if request.to is None else request.to
        self._keeper.tell(bond_events.TakeoverAsked(ticket, request.member, to))
