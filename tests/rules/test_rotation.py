"""The newest sealed commit and what is being read are never overwritten; the oldest goes first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from goldthread.rules.rotation import SlotState, choose_slot

SLOTS = st.lists(
    st.tuples(st.integers(1, 3), st.integers(0, 9), st.booleans()),
    max_size=4,
    unique_by=lambda slot: slot[1] or id(slot),
)


def slot(index: int, sequence: int, *, pinned: bool = False, size: int = 100) -> SlotState:
    return SlotState(index, size, sequence, pinned)


def test_slots_are_made_until_there_are_enough() -> None:
    choice = choose_slot([slot(0, 1), slot(2, 2)], 100, 3)
    assert (choice.index, choice.fresh) == (1, True)


def test_a_slot_without_a_commit_is_taken_first() -> None:
    choice = choose_slot([slot(0, 1), slot(1, 0)], 100, 3)
    assert (choice.index, choice.fresh) == (1, False)


def test_the_oldest_commit_goes_first() -> None:
    choice = choose_slot([slot(0, 5), slot(1, 4), slot(2, 6)], 100, 3)
    assert (choice.index, choice.fresh) == (1, False)


def test_one_that_is_large_enough_is_taken_before_an_older_one_that_is_not() -> None:
    choice = choose_slot([slot(0, 4, size=10), slot(1, 5), slot(2, 6)], 100, 3)
    assert (choice.index, choice.fresh) == (1, False)


def test_where_all_are_too_small_the_oldest_is_made_anew() -> None:
    choice = choose_slot([slot(0, 5, size=10), slot(1, 4, size=20), slot(2, 6)], 100, 3)
    assert (choice.index, choice.fresh) == (1, True)


def test_where_all_are_read_it_waits() -> None:
    choice = choose_slot([slot(0, 4, pinned=True), slot(1, 5, pinned=True), slot(2, 6)], 100, 3)
    assert choice.index is None


def test_where_all_are_read_for_long_a_spare_one_is_made() -> None:
    read = [slot(0, 4, pinned=True), slot(1, 5, pinned=True), slot(2, 6)]
    choice = choose_slot(read, 100, 3, is_long=True)
    assert (choice.index, choice.fresh) == (3, True)
    assert choose_slot([*read, slot(3, 3, pinned=True)], 100, 3, is_long=True).index is None, "and only one"
    assert choose_slot([slot(0, 4), *read[1:]], 100, 3, is_long=True).index == 0


@given(SLOTS, st.integers(1, 4), st.integers(2, 4), st.booleans())
def test_neither_the_newest_nor_what_is_read_is_ever_taken(
    drawn: list[tuple[int, int, bool]], needed: int, most: int, is_long: bool
) -> None:
    slots = [SlotState(index, size, sequence, pinned) for index, (size, sequence, pinned) in enumerate(drawn)]
    choice = choose_slot(slots, needed, most, is_long=is_long)
    newest = max((one.sequence for one in slots), default=0)
    for one in slots:
        if one.index == choice.index:
            assert not one.pinned
            assert one.sequence == 0 or one.sequence != newest
            assert choice.fresh or one.bytes >= needed
