"""Terms that change while a bond stands: what is lent grows, or shrinks below what is held."""

from __future__ import annotations

from typing import Final

from pair import BYTES, IRUKA, WALK, Pair

from goldthread.names import CommitId, Epoch, Step
from goldthread.policy import Policy
from goldthread.report import OwnerState
from goldthread.rules import bond_events, bond_orders, events
from goldthread.terms import Terms

_ENOUGH: Final = Terms(memory=100 * BYTES)
_LITTLE: Final = Terms(memory=BYTES)


def test_what_was_refused_is_asked_again_when_more_is_lent() -> None:
    """At once: no span is waited for where a user did what the alarm said."""
    pair = Pair(terms=_LITTLE)
    pair.start()
    assert any("of what the terms lend are left" in text for text in pair.iruka.alarms)
    asked_at = pair.now
    pair.kakashi.tell(bond_events.TermsAsked(7, IRUKA, _ENOUGH))
    while pair.iruka.view.owner_state is not OwnerState.BONDED:
        pair.run(0.1)
        assert pair.now - asked_at < Policy().partner_grace / 2


def test_what_is_held_stays_when_less_is_lent() -> None:
    """It is kept up to date, too; and both sides say that it is more than the terms."""
    pair = Pair(terms=_ENOUGH)
    pair.start(3)
    pair.kakashi.tell(bond_events.TermsAsked(7, IRUKA, _LITTLE))
    pair.run(1)
    assert pair.iruka.seal(4)
    pair.run(Policy().partner_grace / 1e9 + 1)
    assert pair.iruka.view.owner_state is OwnerState.BONDED
    assert pair.iruka.view.held == CommitId(Epoch(1), Step(4), 4)
    for host, words in ((pair.kakashi, "kakashi holds more for iruka"), (pair.iruka, "kakashi holds more for iruka")):
        (said,) = [text for text in host.alarms if words in text]
        assert "what is held stays, and nothing is added" in said


def test_nothing_is_added_to_what_is_held_beyond_the_terms() -> None:
    """A state that has grown is refused, and its owner is told; what it takes there is what it took before."""
    pair = Pair(terms=_ENOUGH)
    pair.start(3)
    pair.kakashi.tell(bond_events.TermsAsked(7, IRUKA, _LITTLE))
    pair.run(1)
    pair.iruka.tell(events.CommitSealed(WALK, CommitId(Epoch(1), Step(4), 4), 2 * BYTES))
    pair.iruka.copies.add(CommitId(Epoch(1), Step(4), 4))
    pair.run(1)
    assert any("its copies need 4.0 MiB" in text for text in pair.iruka.alarms)
    assert pair.iruka.view.owner_state is OwnerState.SEEKING
    assert pair.kakashi.helds[IRUKA, WALK].bytes == BYTES


def test_what_may_come_is_no_more_than_what_is_held() -> None:
    """The carrier is told so as well, who sees sizes before the keeper does."""
    pair = Pair(terms=_ENOUGH)
    pair.start(3)
    pair.kakashi.tell(bond_events.TermsAsked(7, IRUKA, _LITTLE))
    machine = pair.kakashi.machine
    assert machine is not None
    allowed: list[bond_orders.AllowCopies] = []
    obey = pair.kakashi.obey
    pair.kakashi.obey = lambda order: (  # type: ignore[method-assign]
        allowed.append(order) if isinstance(order, bond_orders.AllowCopies) else None,
        obey(order),
    )[1]
    pair.kakashi.tell(bond_events.CopiesGone(IRUKA, WALK, "it was damaged"))
    assert [order.bytes_most for order in allowed] == [BYTES // 2]
