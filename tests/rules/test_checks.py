"""When copies are read again, and what follows where one is found damaged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldthread.names import CommitId, Epoch, Instant, KeeperId, Level, MemberName, Span, Step
from goldthread.policy import Policy
from goldthread.report import AlarmLevel
from goldthread.rules.bond_events import CopyMended, Patch
from goldthread.rules.bond_orders import MendCopy
from goldthread.rules.checks import check_if_due, check_next, take_carried, take_check, take_mended
from goldthread.rules.choice import Choice
from goldthread.rules.events import Copy, CopyChecked
from goldthread.rules.member import Member, new_record
from goldthread.rules.orders import Alarm, CheckCopy
from goldthread.rules.rounds import Rounds

EVERY = Span(100)
KAKASHI = KeeperId("5" * 32)
WALK = MemberName("walk")


def copy(number: int, level: Level = Level.DEPOSITED) -> Copy:
    return Copy(CommitId(Epoch(1), Step(number), number), level, 800)


def test_a_sealed_commit_is_read_at_once_and_then_now_and_then() -> None:
    """Not while it is being read, and not before its time."""
    rounds, sealed = Rounds(), copy(1, Level.SEALED)
    assert rounds.begin([sealed], EVERY, Instant(5)) == sealed
    assert rounds.deadline() is None
    assert rounds.begin([sealed], EVERY, Instant(500)) is None
    assert rounds.end(sealed, EVERY, Instant(600))
    assert rounds.deadline() == 700
    assert rounds.begin([sealed], EVERY, Instant(699)) is None
    assert rounds.begin([sealed], EVERY, Instant(700)) == sealed


def test_what_was_checked_on_its_way_waits_for_its_first_turn() -> None:
    """A deposit, a held copy: each chunk had its checksum when it came."""
    rounds = Rounds()
    copies = [copy(1), copy(2, Level.HELD)]
    assert rounds.begin(copies, EVERY, Instant(0)) is None
    assert rounds.begin(copies, EVERY, Instant(100)) == copies[0]
    rounds.end(copies[0], EVERY, Instant(110))
    assert rounds.begin(copies, EVERY, Instant(110)) == copies[1]


def test_a_copy_that_somebody_read_anyway_is_not_due() -> None:
    """A new life has just read it to the last byte; that was no check of the rounds."""
    rounds = Rounds()
    rounds.begin([copy(1)], EVERY, Instant(0))
    assert not rounds.end(copy(1), EVERY, Instant(90))
    assert rounds.deadline() == 190


def test_a_copy_that_is_gone_is_forgotten() -> None:
    """The end of its reading comes all the same."""
    rounds, sealed = Rounds(), copy(1, Level.SEALED)
    rounds.begin([sealed], EVERY, Instant(0))
    newer = copy(2, Level.SEALED)
    assert rounds.begin([newer], EVERY, Instant(1)) is None
    assert rounds.end(sealed, EVERY, Instant(2))
    assert rounds.begin([newer], EVERY, Instant(2)) == newer


@given(st.integers(1, 6), st.integers(0, 40), st.integers(1, 30))
def test_every_copy_at_rest_has_its_turn(deposits: int, seals: int, reading: int) -> None:
    """Also beside a program that seals a new commit at every look: nothing waits longer than all others' turns take."""
    rounds, now = Rounds(), 0
    resting = [copy(number) for number in range(1, deposits + 1)]
    last = dict.fromkeys(resting, 0)
    for turn in range(60):
        newest = copy(100 + min(turn, seals), Level.SEALED)
        begun = rounds.begin([newest, *resting], EVERY, Instant(now))
        if begun is not None:
            now += reading
            rounds.end(begun, EVERY, Instant(now))
            if begun in last:
                last[begun] = now
        else:
            due = rounds.deadline()
            assert due is not None
            now = max(now, due)
        assert all(now - read <= EVERY + (deposits + 2) * reading for read in last.values())


def new_member() -> Member:
    """With a sealed commit, the deposit of it and of the one before, and a holder that has both."""
    member = Member(Policy(), new_record(WALK, Policy(), KAKASHI), Instant(0), Span(0))
    member.sealed = copy(2, Level.SEALED)
    member.vault = frozenset({copy(1).commit, copy(2).commit})
    member.elsewhere = (copy(2, Level.HELD), copy(1, Level.HELD))
    member.persist(holder=KAKASHI, deposited=copy(2).commit)
    member.out.clear()
    return member


def test_what_goes_to_the_holder_is_read_on_its_way() -> None:
    """And not beside that; all of it there, it is read again when a span has gone by."""
    member, sealed = new_member(), copy(2, Level.SEALED)
    member.carrying = sealed.commit
    member.rounds.hurry(sealed, member.now)
    check_if_due(member)
    assert member.out == []
    member.carrying = None
    take_carried(member, sealed.commit)
    assert member.out == []
    member.now = Instant(member.policy.check_every)
    check_if_due(member)
    assert CheckCopy(WALK, sealed, background=True) in member.out


@pytest.mark.parametrize("read", [None, copy(1).commit])
def test_what_went_in_part_or_not_at_all_is_read_then(read: CommitId | None) -> None:
    """The holder had the rest of it; or it could not be carried; or it was another commit that went."""
    member, sealed = new_member(), copy(2, Level.SEALED)
    member.carrying = sealed.commit
    check_next(member)
    member.carrying = None
    take_carried(member, read)
    assert member.out == [CheckCopy(WALK, sealed, background=True)]


def test_damage_is_mended_from_every_copy_that_is_known() -> None:
    """The one in memory first; then the holder's and the deposit, and never those of another commit."""
    member, sealed = new_member(), copy(2, Level.SEALED)
    check_next(member)
    take_check(member, CopyChecked(WALK, sealed, False, "2 of 20 chunks are damaged"))
    text = "step 2 of life 1 of walk is damaged in memory: 2 of 20 chunks are damaged"
    deposit = Copy(sealed.commit, Level.DEPOSITED, 0)
    assert member.out == [
        CheckCopy(WALK, sealed, background=True),
        Alarm(AlarmLevel.WARNING, WALK, text),
        MendCopy(WALK, sealed.commit, (sealed, copy(2, Level.HELD), deposit), KAKASHI),
    ]


def test_how_it_ends_is_told() -> None:
    """What came from where; or that it stays damaged, and why."""
    member, commit = new_member(), copy(2).commit
    text = "2 of 20 chunks came from kakashi, the rest from own memory"
    take_mended(member, CopyMended(WALK, commit, True, (Patch(18, "own memory"), Patch(2, "kakashi")), text))
    take_mended(member, CopyMended(WALK, commit, False, (), "kakashi was asked: it does not answer"))
    assert member.out == [
        Alarm(AlarmLevel.NOTICE, WALK, f"step 2 of life 1 of walk was mended: {text}"),
        Alarm(
            AlarmLevel.WARNING,
            WALK,
            "step 2 of life 1 of walk could not be mended: kakashi was asked: it does not answer",
        ),
    ]


def test_deposits_have_their_turn_and_a_damaged_one_counts_no_more() -> None:
    """One that was trimmed while it was to be read is nothing to speak of."""
    member, every = new_member(), Policy().check_every
    member.sealed = None
    check_next(member)
    assert member.out == []
    assert member.deadline() == every
    member.now = Instant(every)
    check_if_due(member)
    deposit = Copy(copy(1).commit, Level.DEPOSITED, 0)
    assert member.out == [CheckCopy(WALK, deposit, background=True)]
    take_check(member, CopyChecked(WALK, deposit, False, "1 of 20 chunks"))
    assert member.vault == {copy(2).commit}
    take_check(member, CopyChecked(WALK, Copy(copy(0).commit, Level.DEPOSITED, 0), False, "it has no such deposit"))
    assert member.damaged == {deposit.commit}


def test_a_life_that_waits_for_its_copies_comes_first() -> None:
    """Nothing is read in the background while copies are chosen from."""
    member = new_member()
    member.choice = Choice(Epoch(0), None, None)
    check_next(member)
    assert member.out == []
    assert member.deadline() is None
