"""The links of this keeper with its partners: one that it dials and one that it answers for each, invitations, and the
circle.

All of it runs in the keeper's own loop. A keeper that has no bond and no circle, and makes none, opens no port and
loads no OpenSSL: the parts that need it are imported with the first bond or invitation.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from goldthread.errors import GoldthreadError, KeeperError, PartnerError, PartnerUnreachable, UsageError
from goldthread.keeper.acquaintances import Acquaintances
from goldthread.keeper.circle import Circle
from goldthread.keeper.invitations import Invitations
from goldthread.keeper.keeper import Keeper
from goldthread.keeper.keys import Keys, Partner, write_whole
from goldthread.keeper.loop import now
from goldthread.names import KeeperId, seconds
from goldthread.rules.bond_events import BondOver, BondTied
from goldthread.rules.bond_orders import AnswerBeat, EndBond, SendBeat, TieWith
from goldthread.terms import Terms
from goldthread.wire import bonds
from goldthread.wire.addresses import parse_address, parse_listen
from goldthread.wire.invitation import Invitation, read_code, write_code

if TYPE_CHECKING:
    from goldthread.keeper.answerer import Answerer
    from goldthread.keeper.caller import Caller
    from goldthread.keeper.neighbours import Neighbours
    from goldthread.keeper.seeker import Seeker

__all__ = ["LinkSettings", "Links"]

log = logging.getLogger("goldthread.keeper")

_LISTEN_AGAIN: Final = seconds(5)
_RENEWED: Final = seconds(10)


class LinkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where a keeper listens, and what it tells partners of that."""

    listen: str = ""
    """`host:port`, `host` or `:port`. Without a host: at all of this machine's. Without a port: one that the system
    chooses once, and that is kept from then on."""
    addresses: tuple[str, ...] = ()
    """Where partners reach this keeper, `host:port`, best first. None: they are found out."""
    label: str = ""
    """The failure domain of this host."""
    circle: bytes = b""
    """The secret of the circle; empty: this keeper is in none, seeks nobody and is offered to nobody."""
    keepers: tuple[str, ...] = ()
    """Where keepers of the circle may be, `host:port`."""
    neighbours: bool = False
    """Whether they are looked for on the local network too."""


class Links:
    """What the keeper's hands use; what happens on the links goes to `keeper.tell`."""

    def __init__(self, keeper: Keeper, keys: Keys, settings: LinkSettings) -> None:
        self._keeper = keeper
        self._keys = keys
        self._known = Acquaintances(keeper, keys, settings.addresses)
        self._known.host, self._fixed_port = parse_listen(settings.listen)
        self._invitations = Invitations(now)
        self._circle = Circle(keeper, settings.circle, settings.label) if settings.circle else None
        self._known_places = settings.keepers
        self._has_neighbours = settings.neighbours
        self._neighbours: Neighbours | None = None
        self._seeker: Seeker | None = None
        self._answerer: Answerer | None = None
        self._callers: dict[KeeperId, Caller] = {}
        self._renewed: set[KeeperId] = set()
        self._awaiting_renewal: list[tuple[Callable[[], None], Callable[[GoldthreadError], None]]] = []

    @property
    def host(self) -> str:
        """At which this keeper listens; empty: at all of this machine's."""
        return self._known.host

    def open(self) -> None:
        """Listen for the partners that are pinned, and dial them. Does nothing where there is none, and no circle."""
        for path in self._keys.damaged():
            self._keeper.warn(None, f"{path} is damaged: that bond must be tied anew")
        partners = self._keys.partners()
        if partners or self._circle is not None:
            try:
                self._listen()
            except KeeperError as error:
                self._keeper.warn(None, f"{error} ({error.hint})")
                self._keeper.loop.after(_LISTEN_AGAIN, self._listen_again)
        for partner in partners:
            self._caller(partner.keeper).dial()

    def close(self) -> None:
        for caller in self._callers.values():
            caller.stop()
        if self._seeker is not None:
            self._seeker.close()
        if self._neighbours is not None:
            self._neighbours.close()
        if self._answerer is not None:
            self._answerer.close()

    # Beats

    def send_beat(self, order: SendBeat) -> None:
        """Facts that are longer than a message may be are not sent; that is an alarm."""
        caller = self._callers.get(order.partner)
        if caller is None:
            return
        try:
            caller.beat(bonds.Beat(order.number, order.facts))
        except KeeperError as error:
            self._known.complain(order.partner, PartnerError(f"it cannot be told of all members: {error}"))

    def answer_beat(self, order: AnswerBeat) -> None:
        if self._answerer is not None:
            self._answerer.answer(order)

    # Bonds

    def invite(self, terms: Terms) -> str:
        """A code for one use within ten minutes. Raises `KeeperError` or `UsageError` where none can be given."""
        self._listen()
        addresses = self._known.addresses()
        return write_code(Invitation(self._invitations.issue(terms), self._keys.fingerprint, addresses))

    def accept(
        self, code: str, terms: Terms, then: Callable[[Partner, str], None], failed: Callable[[GoldthreadError], None]
    ) -> None:
        """Tie a bond with the keeper that gave the code: `then` or `failed` is called, once; the former also with whose
        copies have no room at the other side.

        Raises `UsageError` for what is no code, or one of this very keeper.
        """
        from goldthread.keeper.acceptance import Acceptance

        invitation = read_code(code)
        self._listen()

        def tied(partner: Partner, mine: Terms, theirs: Terms) -> None:
            self._on_tied(partner, mine, theirs)
            if acceptance.lacks[0]:
                self._keeper.warn(None, acceptance.lacks[0])  # Of the other lack the rules tell.
            then(partner, "; ".join(filter(None, acceptance.lacks)))

        acceptance = Acceptance(self._known, invitation, terms, tied, failed)

    def seek(self) -> None:
        """Ask who of the circle is at the places that are known; `PartnersFound` follows."""
        heard = [] if self._neighbours is None else self._neighbours.places()
        self.seek_at(dict.fromkeys((*self._known_places, *heard)))

    def seek_at(self, addresses: Iterable[str]) -> None:
        if self._circle is None:
            return
        from goldthread.keeper.seeker import Seeker

        if self._seeker is None:
            self._seeker = Seeker(self._known, self._circle, self._on_tied_in_circle)
        self._seeker.seek(addresses)

    def tie_with(self, order: TieWith) -> None:
        """Tie a bond with a keeper that the last `seek` found; `BondTied` follows where it agrees."""
        if self._seeker is not None:
            self._seeker.tie(order)

    def end(self, order: EndBond) -> None:
        """Tell the partner, now or when it is reached; `BondOver` follows when it has agreed."""
        if self._keys.partner(order.partner) is None:
            self._keeper.tell(BondOver(order.partner, "its key is not known here"))
        else:
            self._caller(order.partner).bid_farewell(order.text)

    def forget(self, partner: KeeperId) -> None:
        """End the links with this keeper, and know its key no more."""
        self._known.forget(partner)
        caller = self._callers.pop(partner, None)
        if caller is not None:
            caller.stop()
        if self._answerer is not None:
            self._answerer.forget(partner)
        self._renewed.discard(partner)
        self._change_key_if_known()

    # Keys and addresses

    def rekey(self, then: Callable[[], None], failed: Callable[[GoldthreadError], None]) -> None:
        """Change the key: `then` is called when every partner knows the new one and the old one is gone.

        Where a partner does not answer, `failed` is called after a while, the old key stays in use, and the change
        goes on by itself when that partner is reached.
        """
        self._keys.next_certificate()
        self._awaiting_renewal.append((then, failed))
        self._keeper.loop.after(_RENEWED, self._report_missing)
        for caller in self._callers.values():
            caller.tell_key()
        self._change_key_if_known()

    def carrier_address(self, partner: KeeperId) -> list[tuple[str, int]] | None:
        """Where the partner's carrier listens, best first; None where that is not known."""
        return self._known.carrier_address(partner)

    def set_carrier_port(self, port: int) -> None:
        """Tell all partners where this keeper's carrier listens; 0: nowhere."""
        self._known.carrier_port = port
        for caller in self._callers.values():
            caller.greet_again()

    def _listen(self) -> None:
        """Open the port, once. Raises `KeeperError`."""
        if self._answerer is not None:
            return
        from goldthread.keeper.answerer import Answerer

        answerer = Answerer(
            self._known, self._invitations, self._on_met, self._on_tied, self._circle, self._on_tied_in_circle
        )
        kept = _read_port(self._port_file)
        try:
            port = answerer.listen(self._known.host, self._fixed_port or kept)
        except KeeperError:
            if self._fixed_port or not kept:
                raise
            port = answerer.listen(self._known.host, 0)
            log.warning("port %d, which partners know, is taken; they are told of %d", kept, port)
        self._answerer, self._known.port = answerer, port
        if port not in (kept, self._fixed_port):
            write_whole(self._port_file, f"{port}\n".encode())
        log.info("partners are heard at %s", ", ".join(self._known.addresses()))
        if self._circle is not None and self._has_neighbours:
            self._meet_neighbours()

    def _meet_neighbours(self) -> None:
        """Say on the local network where this keeper is, and hear where others are."""
        from goldthread.keeper.neighbours import Neighbours

        self._neighbours = neighbours = Neighbours(self._keys.me, self._known.host, self._known.port)

        def failed(error: BaseException) -> None:
            hint = getattr(error, "hint", "")
            text = f"keepers on the local network are not looked for: {error}"
            self._keeper.warn(None, f"{text} ({hint})" if hint else text)

        self._keeper.loop.work(neighbours.open, lambda _: None, failed)

    def _listen_again(self) -> None:
        try:
            self._listen()
        except KeeperError:
            self._keeper.loop.after(_LISTEN_AGAIN, self._listen_again)

    def _caller(self, partner: KeeperId) -> Caller:
        from goldthread.keeper.caller import Caller

        if partner not in self._callers:
            self._callers[partner] = Caller(self._known, partner, self._on_renewed)
        return self._callers[partner]

    def _on_met(self, partner: KeeperId) -> None:
        self._caller(partner).hurry()

    def _on_tied(self, partner: Partner, mine: Terms, theirs: Terms) -> None:
        self._on_tied_in_circle(partner, mine, theirs, "")

    def _on_tied_in_circle(self, partner: Partner, mine: Terms, theirs: Terms, reason: str) -> None:
        self._keeper.tell(BondTied(partner.keeper, partner.name, mine, theirs, reason))
        self._caller(partner.keeper).begin_anew()

    def _on_renewed(self, partner: KeeperId) -> None:
        self._renewed.add(partner)
        self._change_key_if_known()

    def _change_key_if_known(self) -> None:
        """The old key is let go when every partner knows the next one."""
        if not self._keys.renewing or {partner.keeper for partner in self._keys.partners()} - self._renewed:
            return
        self._keys.change_to_next()
        self._renewed.clear()
        if self._answerer is not None:
            self._answerer.change_key()
        log.info("the key was changed")
        waiting, self._awaiting_renewal = self._awaiting_renewal, []
        for then, _ in waiting:
            then()

    def _report_missing(self) -> None:
        missing = [partner.name for partner in self._keys.partners() if partner.keeper not in self._renewed]
        waiting, self._awaiting_renewal = self._awaiting_renewal, []
        for _, failed in waiting:
            failed(
                PartnerUnreachable(
                    f"the new key waits for {', '.join(missing)}; until then the old one is used",
                    hint="the change goes on when they are reached; whoever is gone for good: goldthread bond forget",
                )
            )

    @property
    def _port_file(self) -> Path:
        return self._keeper.home.path / "port"


def _read_port(path: Path) -> int:
    """The port that was chosen before; 0 where none is known."""
    try:
        return parse_address(f"any:{path.read_text().strip()}")[1]
    except (OSError, UnicodeDecodeError, UsageError):
        return 0
