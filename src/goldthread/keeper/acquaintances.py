"""What this keeper says of itself to others, and what it learns of them: names, addresses, carriers, and complaints."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Final

from goldthread.errors import KeeperError, PartnerError, UsageError
from goldthread.keeper.interfaces import own_hosts
from goldthread.keeper.keeper import Keeper
from goldthread.keeper.keys import Keys, Partner
from goldthread.keeper.loop import now
from goldthread.names import Instant, KeeperId, Span, seconds
from goldthread.report import Phase
from goldthread.rules.held import SLOTS_HELD
from goldthread.version import VERSION
from goldthread.wire.addresses import ADDRESSES_MOST, parse_address, write_address
from goldthread.wire.bonds import BOND_PROTOCOL, BOND_PROTOCOL_OLDEST, Greeting
from goldthread.wire.scrutiny import printable

__all__ = ["Acquaintances", "reached_at"]

log = logging.getLogger("goldthread.keeper")

_IS_OVER: Final = frozenset({Phase.ABSENT, Phase.ENDED, Phase.AWAY})
_ALARM_EVERY: Final = seconds(60)
"""One partner raises no more alarms than this ..."""
_ALARM_AGAIN: Final = seconds(3600)
"""... and the same one only after so long."""


class Acquaintances:
    """`listens` is where others reach this keeper: a host, or nothing for all, and the port; 0 while it does not."""

    def __init__(self, keeper: Keeper, keys: Keys, addresses: tuple[str, ...]) -> None:
        self.keeper = keeper
        self.keys = keys
        self.port = 0
        self.host = ""
        self.carrier_port = 0
        self._addresses = addresses
        self._carriers: dict[KeeperId, list[tuple[str, int]]] = {}
        self._alarms: dict[KeeperId, tuple[Instant, str]] = {}
        self._strangers = 0
        self._strangers_told: Instant | None = None

    # This keeper

    def addresses(self) -> tuple[str, ...]:
        """Where this keeper can be dialled, best first; those of the configuration where it names any."""
        if self._addresses:
            return self._addresses[:ADDRESSES_MOST]
        if not self.port:
            return ()
        hosts = [self.host] if self.host else own_hosts()
        return tuple(write_address(host, self.port) for host in hosts[:ADDRESSES_MOST])

    def needs(self) -> int:
        """Bytes that the copies of this keeper's members take at present where they are held."""
        views = self.keeper.machine.views()
        return sum(SLOTS_HELD * view.sealed.bytes for view in views if view.sealed and view.phase not in _IS_OVER)

    def greeting(self) -> Greeting:
        return Greeting(
            protocol_oldest=BOND_PROTOCOL_OLDEST,
            protocol=BOND_PROTOCOL,
            version=VERSION,
            keeper=self.keys.me,
            name=self.keys.name,
            addresses=self.addresses(),
            carrier_port=self.carrier_port,
        )

    # Partners

    def check(self, partner: Partner, greeting: Greeting) -> None:
        """A partner is known by its key, never by what it says. Raises `PartnerError` where the two differ."""
        if greeting.keeper != partner.keeper:
            raise PartnerError(
                f"it has the key of {partner.name} and says that it is another keeper, {greeting.name}",
                hint="was its home copied or made anew? End the bond, and tie it again",
            )

    def learn(self, keeper: KeeperId, greeting: Greeting, *, dialled: str = "", came_from: str = "") -> None:
        """Remember how a partner calls itself and where it is reached: at what was `dialled`, or whence it came."""
        partner = self.keys.partner(keeper)
        if partner is None:
            return
        heard = reached_at(greeting, came_from=came_from, dialled=dialled)
        self._carriers.pop(keeper, None)
        if greeting.carrier_port:
            hosts = dict.fromkeys(parse_address(address)[0] for address in heard)
            self._carriers[keeper] = [(host, greeting.carrier_port) for host in hosts]
        fits = set(heard) <= set(partner.addresses) and (bool(came_from) or partner.addresses[:1] == heard[:1])
        if fits and partner.name == greeting.name:
            return
        try:
            self.keys.pin(Partner(keeper, greeting.name, partner.addresses if fits else heard, partner.certificates))
        except KeeperError as error:
            log.warning("%s", error)  # It goes on with what it knew; the next greeting tells again.

    def carrier_address(self, keeper: KeeperId) -> list[tuple[str, int]] | None:
        """Where the partner's carrier listens, best first; None where that is not known."""
        return self._carriers.get(keeper)

    def forget(self, keeper: KeeperId) -> None:
        self.keys.unpin(keeper)
        self._carriers.pop(keeper, None)
        self._alarms.pop(keeper, None)

    # Complaints

    def complain(self, keeper: KeeperId, error: PartnerError) -> None:
        """Raise an alarm about a partner, not each time that it errs."""
        moment, text = now(), printable(str(error))
        last = self._alarms.get(keeper)
        if last is not None and Span(moment - last[0]) < (_ALARM_AGAIN if last[1] == text else _ALARM_EVERY):
            return
        self._alarms[keeper] = (moment, text)
        partner = self.keys.partner(keeper)
        name = partner.name if partner is not None else keeper
        self.keeper.warn(None, f"{name}: {text}" + (f" ({error.hint})" if error.hint else ""))

    def turned_away(self, host: str, error: PartnerError) -> None:
        """Note a stranger in the log: the first, then one line for all of a minute."""
        self._strangers += 1
        moment = now()
        if self._strangers_told is None or moment - self._strangers_told >= _ALARM_EVERY:
            log.info(
                "turned away %d at the door for keepers, the last from %s: %s",
                self._strangers,
                host,
                printable(str(error)),
            )
            self._strangers, self._strangers_told = 0, moment


def reached_at(greeting: Greeting, *, came_from: str = "", dialled: str = "") -> tuple[str, ...]:
    """Where a keeper that greets is reached, best first: where it was `dialled`, the port that it names on the host
    that it `came_from`, then what it says itself."""
    guesses = [dialled] if dialled else []
    for address in greeting.addresses[:1]:
        guess = write_address(came_from, parse_address(address)[1])
        with suppress(UsageError):  # A host of a form that cannot be dialled.
            parse_address(guess)
            guesses.append(guess)
    return tuple(dict.fromkeys([*guesses, *greeting.addresses]))[:ADDRESSES_MOST]
