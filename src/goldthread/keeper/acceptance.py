"""Accept an invitation: reach the inviter, see that it is the one of the code, say the secret, and pin each other.

The secret is sent only to the keeper whose fingerprint stands in the code, so nobody between the two can take it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from goldthread.errors import GoldthreadError, PartnerError, PartnerUnreachable, UsageError
from goldthread.keeper.acquaintances import Acquaintances, reached_at
from goldthread.keeper.call import Call
from goldthread.keeper.keys import Partner
from goldthread.keeper.link import Disowned, Stranger
from goldthread.names import Span, milliseconds, seconds
from goldthread.terms import Terms
from goldthread.wire.bonds import AcceptInvitation, Greeting, InvitationAccepted
from goldthread.wire.invitation import Invitation

__all__ = ["Acceptance", "Tied", "check_newcomer", "say_lack"]

_ROUNDS: Final = 2
"""An inviter that could not be reached may have been starting; one that broke off may have agreed already."""
_PAUSE: Final = milliseconds(500)
_ANSWERED: Final = seconds(10)
_AGAIN: Final = "ask for a new code: goldthread bond invite"

Tied = Callable[[Partner, Terms, Terms], None]
"""Called with the new partner, the terms of this side and those of the other."""


def say_lack(owner: str, needs: int, holder: str, lent: int) -> str:
    """That the copies of what runs at one keeper have no room at the other; empty where they have."""
    if needs <= lent:
        return ""
    return f"the copies of what {owner} runs need {needs / 2**20:.1f} MiB, and {holder} lends {lent / 2**20:.1f} MiB"


def check_newcomer(known: Acquaintances, greeting: Greeting, fingerprint: bytes) -> None:
    """Raises `PartnerError` where a bond with this keeper cannot be."""
    keys = known.keys
    if greeting.keeper == keys.me or fingerprint == keys.fingerprint:
        raise PartnerError(
            "a keeper cannot be bonded with itself",
            hint="is the home of one a copy of the other's? Remove the copy's files `id` and `keys`",
        )
    pinned = keys.partner(greeting.keeper)
    if pinned is not None and fingerprint not in pinned.fingerprints:
        raise PartnerError(
            f"a third host claims to be {pinned.name}: it has that identity, and not that key",
            hint=f"if {pinned.name} was made anew, end the old bond on both sides first: goldthread bond end",
        )
    owner = keys.partner_of(fingerprint)
    if owner is not None and owner.keeper != greeting.keeper:
        raise PartnerError(f"it has the key of {owner.name} and says that it is another keeper, {greeting.name}")


class Acceptance:
    """`tied` is called when both sides have pinned each other, else `failed`; one of them, once.

    `lacks` says then that copies of the other side have no room here, and those of this side none there."""

    def __init__(
        self,
        known: Acquaintances,
        invitation: Invitation,
        terms: Terms,
        tied: Tied,
        failed: Callable[[GoldthreadError], None],
    ) -> None:
        self._known = known
        self._invitation = invitation
        self._terms = terms
        self._tied = tied
        self._failed = failed
        self._attempts = 0
        self._greeting: Greeting | None = None
        self._over = False
        self.lacks = ("", "")
        self._reasons: dict[str, PartnerError] = {}
        self._call: Call
        if invitation.fingerprint == known.keys.fingerprint:
            raise UsageError("a keeper cannot be bonded with itself", hint="accept the code on the other host")
        self._context = known.keys.context(server=False, stranger=lambda shown: shown == invitation.fingerprint)
        self._next()

    def _next(self) -> None:
        self._greeting = None
        self._attempts += 1
        addresses = self._invitation.addresses
        self._call = Call(
            self._known.keeper.loop,
            addresses[(self._attempts - 1) % len(addresses)],
            self._context,
            self._known.greeting(),
            checked=self._check,
            greeted=self._on_greeted,
            heard=self._on_heard,
            gone=self._on_gone,
        )

    def _check(self, fingerprint: bytes) -> None:
        if fingerprint != self._invitation.fingerprint:
            raise Stranger("another keeper answers there")

    def _on_greeted(self, greeting: Greeting) -> None:
        check_newcomer(self._known, greeting, self._invitation.fingerprint)
        self._greeting = greeting
        if self._call.link is not None:
            self._call.link.say(AcceptInvitation(self._invitation.secret, self._terms, self._known.needs()))
            self._call.link.end_unless(lambda: self._over, _ANSWERED, "it did not answer")

    def _on_heard(self, message: Any) -> None:
        link, greeting = self._call.link, self._greeting
        if not isinstance(message, InvitationAccepted) or link is None or greeting is None:
            raise PartnerError(f"it said {type(message).__name__} where an answer was due")
        addresses = reached_at(greeting, dialled=self._call.address)
        partner = Partner(greeting.keeper, greeting.name, addresses, (link.certificate,))
        self._known.keys.pin(partner)
        self._over = True
        link.finish(PartnerUnreachable("the invitation was used"))
        me = self._known.keys.name
        self.lacks = (
            say_lack(partner.name, message.needs, me, self._terms.memory),
            say_lack(me, self._known.needs(), partner.name, message.terms.memory),
        )
        self._tied(partner, self._terms, message.terms)

    def _on_gone(self, error: PartnerError) -> None:
        if self._over:
            return
        if isinstance(error, Disowned):
            error = PartnerError(
                "the invitation is open no more: it was used, or expired after ten minutes, or its keeper began anew",
                hint=_AGAIN,
            )
        elif isinstance(error, PartnerUnreachable | Stranger):
            self._reasons[self._call.address] = error
            count = len(self._invitation.addresses)
            if self._attempts < _ROUNDS * count:
                pause = _PAUSE if self._attempts % count == 0 else Span(0)
                self._known.keeper.loop.after(pause, self._next)
                return
            error = self._unreachable()
        self._over = True
        self._failed(error)

    def _unreachable(self) -> PartnerUnreachable:
        """What was found at each address. Somebody else there is most likely the inviter with another key."""
        hint = "does its keeper run, and does a firewall let its port through?"
        if any(isinstance(error, Stranger) for error in self._reasons.values()):
            hint = f"was its key changed, or its home made anew, since the code was given? Then {_AGAIN}"
        found = [f"{address}: {str(error).removeprefix(f'{address}: ')}" for address, error in self._reasons.items()]
        return PartnerUnreachable(f"the inviter cannot be reached: {'; '.join(found)}", hint=hint)
