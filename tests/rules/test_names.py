"""One name, and more than one member or host that claims it."""

from __future__ import annotations

from pair import IRUKA, WALK, Pair

from goldthread.names import CommitId, Epoch, KeeperId, Step
from goldthread.policy import Budget
from goldthread.report import Guard, Phase
from goldthread.rules import bond_events, bond_orders, events, orders
from goldthread.terms import Terms
from goldthread.wire.bonds import Facts, OwnedFact


def test_a_third_host_cannot_claim_what_is_held_for_another() -> None:
    """Its member of that name is another one: it is refused, the reason is said, and the copy here stays."""
    pair = Pair()
    pair.start(3)
    third, kakashi = KeeperId("s" * 32), pair.kakashi
    kakashi.tell(bond_events.BondTied(third, "sakura", Terms(), Terms()))
    kakashi.tell(bond_events.LinkUp(third, "sakura"))
    before = kakashi.helds[IRUKA, WALK]
    newest = CommitId(Epoch(99), Step(500), 500)
    claim = OwnedFact(
        WALK, third, Epoch(99), begun=True, phase=Phase.RUNNING, hold=True, guard=Guard.NONE, newest=newest, bytes=1000,
        plea=False, given_up=False, bundle="",
    )  # fmt: skip
    facts = Facts(1, Terms(), "", "", 1 << 30, (claim,), (), ())
    assert kakashi.machine is not None
    told = []
    for order in kakashi.machine.handle(bond_events.BeatHeard(third, 1, facts), pair.now):
        if isinstance(order, bond_orders.SendBeat) and order.partner == third and order.facts is not None:
            told += order.facts.held
    assert [(fact.member, fact.refused) for fact in told] == [
        (WALK, "another member named walk is held here for iruka")
    ]
    assert kakashi.helds == {(IRUKA, WALK): before}


def test_a_name_that_is_held_for_a_partner_is_taken() -> None:
    pair = Pair()
    pair.start(3)
    pair.kakashi.tell(events.RunAsked(1, WALK, Budget()))
    (answer,) = pair.kakashi.answers
    assert isinstance(answer, orders.Refuse) and "held here for iruka" in answer.text
    assert pair.iruka.running == 1 and pair.kakashi.running is None


def test_two_members_of_one_name_are_never_mixed() -> None:
    pair = Pair()
    pair.cut()
    for host in (pair.iruka, pair.kakashi):
        host.tell(bond_events.LinkLost(pair.other(host).me, "cut"))
        host.tell(events.RunAsked(1, WALK, Budget()))
    pair.run(1)
    assert pair.iruka.seal(3) and pair.kakashi.seal(50)
    pair.link()
    pair.run(5)
    assert pair.iruka.running == 1 and pair.kakashi.running == 1
    assert pair.iruka.seal(4) and pair.kakashi.seal(51)
    for host in (pair.iruka, pair.kakashi):
        assert any("rename one of the two" in text for text in host.alarms)
