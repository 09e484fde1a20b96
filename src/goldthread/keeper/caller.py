"""Keeps one partner dialled: all its addresses in turn, soon at first and then less often, for as long as it is pinned.

On the link that this keeper has dialled it sends its beats and hears the answers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import msgspec

from goldthread.errors import KeeperError, PartnerError, PartnerUnreachable
from goldthread.keeper.acquaintances import Acquaintances
from goldthread.keeper.call import Call
from goldthread.keeper.link import Disowned, Stranger
from goldthread.keeper.loop import now
from goldthread.names import Instant, KeeperId, Span, milliseconds, seconds
from goldthread.rules.bond_events import BeatAnswered, BondOver, LinkLost, LinkUp
from goldthread.wire import bonds
from goldthread.wire.scrutiny import printable

__all__ = ["Caller"]

log = logging.getLogger("goldthread.keeper")

_AGAIN: Final = milliseconds(50)
_AGAIN_MOST: Final = seconds(2)
_DOUBLINGS_MOST: Final = 6
_SILENT: Final = seconds(4)
"""A link on which nothing is answered for so long is dialled anew: it may lead to where the partner was."""
_LOOK: Final = seconds(1)
_SAID_MOST: Final = 8
"""Reasons noted in the log until a beat is answered again."""


class Caller:
    """`renewed` is called when the partner knows the next key of this keeper."""

    def __init__(self, known: Acquaintances, partner: KeeperId, renewed: Callable[[KeeperId], None]) -> None:
        self._known = known
        self._loop = known.keeper.loop
        self._partner = partner
        self._renewed = renewed
        self._call: Call | None = None
        self._up = False
        self._attempts = 0
        self._tries = 0
        self._stopped = False
        self._said: set[str] = set()
        """Why there was no link, since the last answer."""
        self._farewell: str | None = None
        self._unanswered_since: Instant | None = None

    # What is asked of it

    def dial(self) -> None:
        """Try the next address, unless it is being tried already."""
        partner = self._known.keys.partner(self._partner)
        if self._stopped or self._call is not None or partner is None:
            return
        if not partner.addresses:
            self._dial_later(1)
            return
        address = partner.addresses[self._attempts % len(partner.addresses)]
        try:
            context = self._known.keys.context(server=False)
        except KeeperError as error:
            self._known.complain(self._partner, PartnerError(str(error), hint=error.hint))
            self._dial_later(len(partner.addresses))
            return
        self._attempts += 1
        self._call = call = Call(
            self._loop,
            address,
            context,
            self._known.greeting(),
            checked=self._check,
            greeted=lambda greeting: self._on_greeted(call, greeting),
            heard=lambda message: self._on_heard(call, message),
            gone=lambda error: self._on_gone(call, error),
        )

    def hurry(self) -> None:
        """The partner was heard: what was last learned of its addresses is tried at once."""
        partner = self._known.keys.partner(self._partner)
        if self._up or partner is None or (self._call is not None and self._call.leads_to(partner.addresses[:1])):
            return
        self._let_go()
        self._attempts = 0
        self.dial()

    def stop(self) -> None:
        self._stopped = True
        self._let_go()

    def beat(self, beat: bonds.Beat) -> None:
        """Send it, where there is a link."""
        if self._unanswered_since is None:
            self._unanswered_since = now()
        self._say(beat)

    def bid_farewell(self, text: str) -> None:
        """Tell the partner that the bond is over, now or when it is reached."""
        self._farewell = printable(text)
        self._say(bonds.EndBond(self._farewell))

    def begin_anew(self) -> None:
        """A bond is tied: the end of the one before, if that is still to be said, is not, and its link is let go."""
        if self._farewell is not None:
            self._farewell, was_up = None, self._up
            self._let_go()
            if was_up:
                self._known.keeper.tell(LinkLost(self._partner, "a bond is tied anew"))
        self.hurry()

    def tell_key(self) -> None:
        """Tell the partner of the next key."""
        self._say(bonds.RenewKey(self._known.keys.next_certificate()))

    def greet_again(self) -> None:
        """Tell the partner what has changed in the greeting."""
        self._say(self._known.greeting())

    # The link

    def _say(self, message: msgspec.Struct) -> None:
        if self._up and self._call is not None and self._call.link is not None:
            self._call.link.say(message)

    def _let_go(self) -> None:
        call, self._call, self._up = self._call, None, False
        self._tries += 1
        if call is not None:
            call.cancel()

    def _check(self, fingerprint: bytes) -> None:
        partner = self._known.keys.partner(self._partner)
        if partner is None or fingerprint not in partner.fingerprints:
            raise Stranger("another keeper answers there")
        if len(partner.certificates) > 1 and fingerprint == partner.fingerprints[1]:
            self._known.keys.pin(msgspec.structs.replace(partner, certificates=partner.certificates[1:]))

    def _on_greeted(self, call: Call, greeting: bonds.Greeting) -> None:
        partner = self._known.keys.partner(self._partner)
        if self._call is not call or partner is None:
            return
        self._known.check(partner, greeting)
        self._known.learn(self._partner, greeting, dialled=call.address)
        self._up = True
        self._unanswered_since = None
        self._say_what_waits()
        self._watch_silence(call)
        log.info("linked with %s at %s", greeting.name, call.address)
        self._known.keeper.tell(LinkUp(self._partner, greeting.name))

    def _say_what_waits(self) -> None:
        if self._known.keys.renewing:
            self.tell_key()
        if self._farewell is not None:
            self._say(bonds.EndBond(self._farewell))

    def _on_heard(self, call: Call, message: Any) -> None:
        if self._call is not call:
            return
        match message:
            case bonds.BeatAnswer():
                self._unanswered_since = None
                self._attempts = 0
                self._said.clear()
                self._known.keeper.tell(
                    BeatAnswered(self._partner, message.number, message.facts_seen, message.promise, message.promised)
                )
            case bonds.KeyRenewed():
                self._renewed(self._partner)
            case bonds.BondEnded() if self._farewell is not None:
                self._end_bond("it has agreed")
            case _:
                raise PartnerError(f"it said {type(message).__name__} where nothing asked for it")

    def _on_gone(self, call: Call, error: PartnerError) -> None:
        if self._call is not call:
            return
        was_up, self._up, self._call = self._up, False, None
        if was_up:
            self._known.keeper.tell(LinkLost(self._partner, printable(str(error))))
        if self._farewell is not None and isinstance(error, Disowned):
            self._end_bond("it knew of the bond no more")
        partner = self._known.keys.partner(self._partner)
        if partner is None:
            return
        self._mention(error, at_last=self._attempts >= len(partner.addresses))
        self._dial_later(len(partner.addresses))

    def _mention(self, error: PartnerError, *, at_last: bool) -> None:
        """A stranger at one of several addresses is only noted: the partner may be at the next."""
        if not isinstance(error, PartnerUnreachable) and (at_last or not isinstance(error, Stranger)):
            self._known.complain(self._partner, error)
        text = printable(str(error))
        if text not in self._said and len(self._said) < _SAID_MOST:
            self._said.add(text)
            log.info("no link with %s: %s", self._name(), text)

    def _name(self) -> str:
        partner = self._known.keys.partner(self._partner)
        return self._partner if partner is None else partner.name

    def _end_bond(self, text: str) -> None:
        self._farewell = None
        self._known.keeper.tell(BondOver(self._partner, text))

    def _dial_later(self, addresses: int) -> None:
        """After a round over all addresses the wait doubles."""
        rounds = min(self._attempts // max(addresses, 1), _DOUBLINGS_MOST)
        self._tries += 1
        tries = self._tries
        delay = Span(min(_AGAIN << rounds, _AGAIN_MOST))
        self._loop.after(delay, lambda: self.dial() if tries == self._tries else None)

    def _watch_silence(self, call: Call) -> None:
        if self._call is not call or not self._up or call.link is None:
            return
        since = self._unanswered_since
        if since is not None and now() - since > _SILENT:
            call.link.end(PartnerUnreachable(f"it has answered nothing for {_SILENT / seconds(1):g} s"))
        else:
            self._loop.after(_LOOK, lambda: self._watch_silence(call))
