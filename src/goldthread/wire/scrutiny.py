"""What a partner says is looked at before it is believed.

The types of a message are checked while it is decoded. Here stands what they cannot say: names become file names and
are shown on terminals, counts are never negative, a member is named once. Whether what is said is *true* is for the
rules to doubt (`rules/`), not for the gate.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from goldthread.errors import PartnerError, UsageError
from goldthread.names import CommitId, KeeperId, MemberName, member_name
from goldthread.terms import Terms
from goldthread.wire import bonds
from goldthread.wire.addresses import ADDRESSES_MOST, parse_address

__all__ = ["check_heard", "check_keeper_id", "printable"]

_ID_DIGITS: Final = 32
_ID_SIGNS: Final = frozenset("0123456789abcdef")
_NAME_LENGTH: Final = 100
_TEXT_LENGTH: Final = 500
_REASON_LENGTH: Final = 4096
_MEMBERS_MOST: Final = 10_000
_NUMBER_MOST: Final = 1 << 62
_DIGEST_LENGTH: Final = 128
_CERTIFICATE_BYTES_MOST: Final = 4096
"""One of a P-256 key has about 400."""
_SECRET_BYTES_MOST: Final = 64
_PARTNERS_MOST: Final = 1000


def check_keeper_id(text: str) -> KeeperId:
    """Identities become file names, so nothing but 32 hexadecimal digits is let through. Raises `PartnerError`."""
    if len(text) != _ID_DIGITS or not set(text) <= _ID_SIGNS:
        raise PartnerError(f"{printable(text)!r} is no identity of a keeper")
    return KeeperId(text)


def printable(text: str) -> str:
    """A partner's text as it may be shown: bounded, on one line, and without what moves a terminal's cursor."""
    return "".join(sign if sign.isprintable() else " " for sign in text[:_TEXT_LENGTH])


def check_heard(message: Any) -> None:
    """Raises `PartnerError` for a message of `bonds.FromCaller` or `bonds.FromAnswerer` that cannot be right."""
    match message:
        case bonds.Greeting():
            _check_greeting(message)
        case bonds.Beat():
            _check_number("a beat", message.number)
            if message.facts is not None:
                _check_facts(message.facts)
        case bonds.BeatAnswer():
            _check_number("an answer", message.number, message.facts_seen, message.promise)
            _check_members(message.promised)
        case bonds.AcceptInvitation():
            _require(len(message.secret) <= _SECRET_BYTES_MOST, "its secret is too long")
            _check_terms(message.terms)
            _check_number("what its copies need", message.needs)
        case bonds.InvitationAccepted():
            _check_terms(message.terms)
            _check_number("what its copies need", message.needs)
        case bonds.ShowCircle():
            _require(len(message.proof) <= _SECRET_BYTES_MOST, "its proof is too long")
        case bonds.CircleShown():
            _require(len(message.proof) <= _SECRET_BYTES_MOST, "its proof is too long")
            _check_text("its label", message.label, _NAME_LENGTH)
            _check_terms(message.terms)
            _require(len(message.partners) <= _PARTNERS_MOST, "it names too many partners")
            for partner in message.partners:
                check_keeper_id(partner)
        case bonds.TieBond():
            _check_text("its reason", message.reason, _REASON_LENGTH)
            _check_terms(message.terms)
        case bonds.BondAgreed():
            _check_terms(message.terms)
        case bonds.RenewKey():
            _require(0 < len(message.certificate) <= _CERTIFICATE_BYTES_MOST, "its new certificate has no right size")
        case bonds.EndBond():
            _check_text("its farewell", message.text, _TEXT_LENGTH)


def _check_greeting(greeting: bonds.Greeting) -> None:
    check_keeper_id(greeting.keeper)
    _check_number("a protocol", greeting.protocol_oldest, greeting.protocol)
    _check_text("its version", greeting.version, _NAME_LENGTH)
    _check_text("its name", greeting.name, _NAME_LENGTH)
    _require(bool(greeting.name), "it has no name")
    _require(0 <= greeting.carrier_port < 1 << 16, "its carrier's port is none")
    _require(len(greeting.addresses) <= ADDRESSES_MOST, f"it names more than {ADDRESSES_MOST} addresses")
    for address in greeting.addresses:
        try:
            parse_address(address)
        except UsageError as error:
            raise _cannot_be(str(error)) from None


def _check_facts(facts: bonds.Facts) -> None:
    _check_number("facts", facts.version, facts.room)
    _check_terms(facts.terms)
    _check_text("its label", facts.label, _NAME_LENGTH)
    _check_text("its lease store", facts.lease_store, _DIGEST_LENGTH)
    _check_members([fact.member for fact in facts.owned])
    _check_members([fact.member for fact in facts.held])
    _check_members([fact.member for fact in facts.yielded])
    for owned in facts.owned:
        check_keeper_id(owned.origin)
        _check_number(owned.member, owned.epoch, owned.bytes, owned.floor)
        _check_commit(owned.member, owned.newest)
        _check_text("a bundle's digest", owned.bundle, _DIGEST_LENGTH)
    for held in facts.held:
        check_keeper_id(held.origin)
        _check_number(held.member, held.epoch)
        _check_commit(held.member, held.commit)
        _check_text("a bundle's digest", held.bundle, _DIGEST_LENGTH)
        _check_text("its refusal", held.refused, _REASON_LENGTH)
    for yielded in facts.yielded:
        check_keeper_id(yielded.origin)
        _check_number(yielded.member, yielded.epoch)


def _check_terms(terms: Terms) -> None:
    _check_number("terms", terms.memory, terms.cores, terms.bandwidth)


def _check_members(names: Iterable[MemberName]) -> None:
    seen: set[str] = set()
    for name in names:
        try:
            member_name(name)
        except UsageError as error:
            raise _cannot_be(printable(str(error))) from None
        _require(name not in seen, f"it names {name} twice")
        seen.add(name)
    _require(len(seen) <= _MEMBERS_MOST, f"it names more than {_MEMBERS_MOST} members")


def _check_commit(of: str, commit: CommitId | None) -> None:
    if commit is not None:
        _check_number(of, commit.epoch, commit.step, commit.sequence)


def _check_number(of: str, *numbers: int) -> None:
    for number in numbers:
        _require(0 <= number <= _NUMBER_MOST, f"{of} with the number {number}")


def _check_text(what: str, text: str, length_most: int) -> None:
    _require(len(text) <= length_most and text.isprintable(), f"{what} cannot be shown")


def _require(holds: bool, text: str) -> None:
    if not holds:
        raise _cannot_be(text)


def _cannot_be(text: str) -> PartnerError:
    return PartnerError(f"what it says cannot be right: {text}")
