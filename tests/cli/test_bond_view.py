"""How bonds, held members and takeovers are shown: a pure function of the report."""

from __future__ import annotations

import io
from typing import Any

import click
import pytest
from rich.console import Console
from test_status import SEALED, member

from goldthread.cli.asking import find_partner
from goldthread.cli.bond_view import bond_table, doubt_lines, heading, held_words, price_lines, terms_table
from goldthread.cli.status import answer, details, is_safe, summary
from goldthread.cli.takeover import risk_words
from goldthread.cli.terms import memory_warning, terms_from, terms_options, terms_words
from goldthread.errors import UsageError
from goldthread.names import CommitId, Epoch, KeeperId, MemberName, Step, seconds
from goldthread.report import (
    BondReport,
    CommitReport,
    Contact,
    Guard,
    HeldReport,
    HeldThere,
    HolderState,
    KeeperReport,
    MemberReport,
    OwnerState,
    Phase,
    PriceReport,
)
from goldthread.terms import Consent, Terms, WithoutLeaseStore

KAKASHI, RIN = KeeperId("ab" * 16), KeeperId("ac" * 16)
HELD = CommitReport(CommitId(Epoch(3), Step(410), 110), seconds(0.3), 1 << 20)
PRICE = PriceReport(
    "walk would go on without a copy on another host", (MemberName("walk"),), 2, 0, (), 2 << 20, 0, None
)


def bond(**changes: Any) -> BondReport:
    facts: dict[str, Any] = {
        "partner": KAKASHI,
        "name": "kakashi",
        "contact": Contact.FRESH,
        "reason": "it beats",
        "heard_age": seconds(0.1),
        "round_trip": seconds(0.001),
        "dialled": True,
        "mine": Terms(),
        "theirs": Terms(memory=8 << 30),
        "room": 8 << 30,
        "held_there": (HeldThere(MemberName("walk"), OwnerState.BONDED, HELD, 2, Guard.LEASE),),
        "price": PRICE,
        "ending": False,
        "ended": False,
        "emergency": "",
    }
    return BondReport(**(facts | changes))


def held(**changes: Any) -> HeldReport:
    facts: dict[str, Any] = {
        "member": MemberName("dance"),
        "partner": KAKASHI,
        "state": HolderState.BONDED,
        "reason": "step 99 of life 2 is whole here",
        "epoch": Epoch(2),
        "phase": Phase.RUNNING,
        "guard": Guard.NONE,
        "given_up": False,
        "commit": CommitId(Epoch(2), Step(99), 99),
        "behind": 1,
        "bytes": 1 << 20,
    }
    return HeldReport(**(facts | changes))


def keeper(
    *members: MemberReport, bonds: tuple[BondReport, ...] = (), helds: tuple[HeldReport, ...] = ()
) -> KeeperReport:
    return KeeperReport("home", 7, "0.1", seconds(60), members, (), KeeperId("1" * 32), "iruka", bonds, helds)


def shown(table: Any) -> list[str]:
    page = io.StringIO()
    Console(file=page, width=80).print(table)
    return [line.rstrip() for line in page.getvalue().splitlines() if line.strip()]


# Is my work safe?


def test_the_first_line_names_every_copy() -> None:
    """Here, at the partner, in the vault: each with its step and its age."""
    walk = member(holder="kakashi", held=HELD, owner_state=OwnerState.BONDED)
    assert is_safe(walk)
    assert answer(walk) == (
        "walk is safe: step 412 sealed 0.2 s ago, step 410 held by kakashi 0.3 s ago, step 300 deposited 3 min ago,"
        " life 3"
    )
    assert "  kakashi has a whole copy; taken over there only when a person says so" in details(walk)


def test_an_exposed_member_is_not_called_safe() -> None:
    """It runs, and a bond that should protect it does not."""
    silent = "kakashi, which holds its copy, is silent"
    walk = member(exposed=silent, deposited=None, held=HELD, holder="kakashi", owner_state=OwnerState.ALONE)
    assert not is_safe(walk)
    assert any(line.startswith("  kakashi had a copy, and is silent;") for line in details(walk))
    assert answer(walk) == (
        "walk is exposed: kakashi, which holds its copy, is silent; kept here: step 412 sealed 0.2 s ago, life 3"
    )
    assert summary([walk, member()]).startswith("1 of 2 members needs a look: walk is exposed")


def test_a_member_that_nothing_vouches_for_is_told_so() -> None:
    """Its program stands still on purpose."""
    assert "walk may not go on: nothing vouches" in answer(member(vouched=0))
    assert is_safe(member(vouched=seconds(1)))


def test_a_member_that_went_to_the_partner_is_away_and_no_worry() -> None:
    away = member(phase=Phase.AWAY, reason="life 4 of walk is kakashi's", sealed=None, deposited=None)
    assert is_safe(away)
    assert answer(away) == "walk is away: life 4 of walk is kakashi's"


def test_a_host_that_only_holds_says_so() -> None:
    assert summary([], [held()]) == "no member of this host, 1 member of partners held"
    doubted = held(state=HolderState.DOUBTING)
    assert summary([member()], [doubted]) == "dance, held here, may have to be taken over"
    assert held_words(held(), "kakashi") == "dance is kakashi's: step 99 held here, 1 step behind, life 2"
    assert held_words(held(commit=None, reason="kakashi asked for it"), "kakashi") == (
        "dance is kakashi's, and nothing of it is held here yet: kakashi asked for it"
    )


# Are we bonded?


@pytest.mark.parametrize(
    ("contacts", "sentence"),
    [
        ((), "iruka has no bond: goldthread bond invite begins one"),
        ((Contact.FRESH,), "iruka is bonded with kakashi"),
        ((Contact.SILENT,), "iruka is alone: kakashi is silent"),
        ((Contact.LATE, Contact.SILENT), "iruka is bonded with kakashi and rin; rin is silent"),
        ((Contact.SILENT, Contact.SILENT), "iruka is alone: kakashi and rin are silent"),
    ],
)
def test_the_first_line_says_whether_there_is_a_bond(contacts: tuple[Contact, ...], sentence: str) -> None:
    names = ((KAKASHI, "kakashi"), (RIN, "rin"))
    bonds = [bond(partner=one, name=name, contact=how) for (one, name), how in zip(names, contacts, strict=False)]
    assert heading(keeper(bonds=tuple(bonds))) == sentence


def test_the_table_says_what_each_holds_for_the_other() -> None:
    rows = shown(bond_table(keeper(bonds=(bond(), bond(name="rin", held_there=(), partner=RIN)), helds=(held(),))))
    assert [row.split() for row in rows[2:]] == [
        ["kakashi", "fresh,", "0.1", "s", "ago", "walk", "here", "step", "410", "2", "the", "lease"],
        ["dance", "there", "step", "99", "1", "a", "person"],
        ["rin", "fresh,", "0.1", "s", "ago", "-", "-", "-", "-", "-"],
    ]


def test_each_bond_has_its_price_and_what_is_wrong_with_it() -> None:
    there = HeldThere(MemberName("walk"), OwnerState.BONDED, HELD, 2, Guard.LEASE, ("numpy is 2.4 here, 2.3 there",))
    late = bond(
        contact=Contact.LATE,
        reason="not heard for 1.2 s",
        emergency="walk was in limbo",
        ending=True,
        held_there=(there,),
    )
    assert price_lines(keeper(bonds=(late,))) == [
        "kakashi is late: not heard for 1.2 s",
        "kakashi was bonded with nobody asked: walk was in limbo; goldthread bond confirm kakashi, or bond end",
        "kakashi: this bond is ended here; it is told as soon as it can be reached",
        "walk may run otherwise on kakashi: numpy is 2.4 here, 2.3 there",
        "if kakashi died now: walk would go on without a copy on another host",
    ]


def test_a_bond_that_is_over_is_told_as_such() -> None:
    """Its keeper is known, and holds nothing."""
    report = keeper(bonds=(bond(ended=True),))
    assert heading(report).startswith("iruka has no bond")
    assert price_lines(report) == ["the bond with kakashi is over; it is known still, for emergencies"]
    report = keeper(bonds=(bond(ended=True, emergency="walk was in limbo"),))
    assert price_lines(report) == [
        "the bond with kakashi is over; it was tied in an emergency, and is not tied so again"
    ]


def test_a_doubted_member_is_shown_with_what_is_in_the_way() -> None:
    doubted = held(state=HolderState.DOUBTING, reason="kakashi is silent: not heard for 9 s")
    assert doubt_lines(keeper(bonds=(bond(),), helds=(held(), doubted))) == [held_words(doubted, "kakashi")]


# Terms


def test_terms_are_given_by_options_and_told_by_the_same_words() -> None:
    """What is not given stays."""
    taken: dict[str, Any] = {}

    @click.command()
    @terms_options
    def command(**given: Any) -> None:
        taken.update(given)

    words = ["--memory", "8GiB", "--bandwidth", "1GB/s", "--takeover", "ask", "--emergency", "yes"]
    command.main([*words, "--without-lease-store", "yield"], standalone_mode=False)
    terms = terms_from(Terms(cores=2), taken)
    assert terms == Terms(
        memory=8 << 30,
        cores=2,
        bandwidth=10**9,
        takeover=Consent.ASK,
        emergency=True,
        without_lease_store=WithoutLeaseStore.YIELD,
    )
    assert terms_words(terms) == (
        "memory 8.0 GiB, cores 2, bandwidth 953.7 MiB/s, takeover ask, emergency yes, without-lease-store yield"
    )


def test_more_memory_than_there_is_is_lent_with_a_word() -> None:
    """Nothing is said where it is there, or where nobody knows."""
    terms = Terms(memory=8 << 30)
    assert memory_warning(terms, 2 << 30) == (
        "this host lends 8.0 GiB of memory and has 2.0 GiB: what does not fit is not held"
    )
    assert memory_warning(terms, 8 << 30) == memory_warning(terms, None) == ""


def test_the_terms_of_both_sides_stand_side_by_side() -> None:
    rows = [line.split() for line in shown(terms_table(bond()))]
    assert ["memory", "4.0", "GiB", "8.0", "GiB"] in rows


# Whom is meant, and what it risks


def test_a_partner_is_named_by_its_name_or_the_beginning_of_its_identity() -> None:
    report = keeper(bonds=(bond(), bond(partner=RIN, name="rin")))
    assert find_partner(report, "rin").partner == RIN
    assert find_partner(report, "ab").partner == KAKASHI
    for text, hint in (("a", "abababab or acacacac"), ("naruto", "the partners are kakashi, rin"), ("", "partners")):
        with pytest.raises(UsageError) as refused:
            find_partner(report, text)
        assert hint in refused.value.hint


@pytest.mark.parametrize(
    ("contact", "changes", "asks"),
    [
        (Contact.SILENT, {}, True),
        (Contact.SILENT, {"guard": Guard.PROMISE}, True),
        (Contact.SILENT, {"guard": Guard.LEASE}, False),
        (Contact.SILENT, {"given_up": True}, False),
        (Contact.FRESH, {}, False),
    ],
)
def test_a_takeover_asks_where_nothing_vouches(contact: Contact, changes: dict[str, Any], asks: bool) -> None:
    """A lease, or the owner's own word, needs no person; while the owner lives the keeper refuses it by itself."""
    risk = risk_words(keeper(bonds=(bond(contact=contact),), helds=(held(**changes),)), MemberName("dance"))
    assert bool(risk) == asks
    assert not asks or risk.endswith("then the old one is ended, and what it did since step 99 is lost.")


def test_there_is_nothing_to_take_over_here() -> None:
    for report, error in ((keeper(), "walk is not held here"), (keeper(member()), "walk is this host's already")):
        with pytest.raises(UsageError, match=error):
            risk_words(report, MemberName("walk"))


def test_what_was_kept_aside_is_gone_on_from_after_a_question() -> None:
    away = member(phase=Phase.AWAY, reason="life 3 of walk is kakashi's")
    risk = risk_words(keeper(away), MemberName("walk"))
    assert risk.startswith("walk went away from here: life 3 of walk is kakashi's. It goes on here from what was kept")


def test_a_frozen_life_is_let_go_on_after_a_question() -> None:
    stopped = member(vouched=0, sealed=SEALED)
    assert risk_words(keeper(stopped), MemberName("walk")).startswith("Nothing vouches that walk has not been taken")
