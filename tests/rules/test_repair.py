"""Which chunk comes from where, for every mix of copies."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from goldthread.rules.bond_events import Patch
from goldthread.rules.repair import Lender, plan_repair

SOURCES = ("own memory", "own memory", "the vault", "kakashi")

chunk_sets = st.integers(0, 30).flatmap(
    lambda count: st.tuples(
        st.just(count),
        st.lists(st.frozensets(st.integers(0, max(count - 1, 0)), max_size=count), max_size=len(SOURCES)),
    )
)


@given(chunk_sets)
def test_each_chunk_comes_from_the_first_that_has_it(case: tuple[int, list[frozenset[int]]]) -> None:
    """Own memory before the vault before the partner: only what is nowhere else travels."""
    count, sets = case
    lenders = [Lender(source, chunks) for source, chunks in zip(SOURCES, sets, strict=False)]
    repair = plan_repair("own memory", count, lenders)
    for chunk in range(count):
        havers = [index for index, chunks in enumerate(sets) if chunk in chunks]
        takers = [index for index, taken in enumerate(repair.takes) if chunk in taken]
        assert takers == havers[:1]
        assert (chunk in repair.missing) == (not havers)
    assert all(list(taken) == sorted(taken) for taken in repair.takes)


@given(chunk_sets)
def test_patches_count_every_chunk_once(case: tuple[int, list[frozenset[int]]]) -> None:
    """By place, however many copies lie there; the missing ones are what is left."""
    count, sets = case
    repair = plan_repair("own memory", count, [Lender(s, chunks) for s, chunks in zip(SOURCES, sets, strict=False)])
    assert sum(patch.chunks for patch in repair.patches) + len(repair.missing) == count
    assert len({patch.source for patch in repair.patches}) == len(repair.patches)
    assert all(patch.chunks > 0 for patch in repair.patches)


@given(chunk_sets)
def test_a_whole_copy_mends_all(case: tuple[int, list[frozenset[int]]]) -> None:
    """Whatever the others lack; and with the partner's whole copy exactly what is nowhere else travels."""
    count, sets = case
    near = [Lender(source, chunks) for source, chunks in zip(SOURCES[:3], sets[:3], strict=False)]
    alone = plan_repair("own memory", count, near)
    together = plan_repair("own memory", count, [*near, Lender("kakashi", frozenset(range(count)))])
    assert together.missing == ()
    assert together.takes[-1] == alone.missing


def test_what_is_said_of_a_mended_commit() -> None:
    """Few chunks first, then the rest; where header, manifest and table come from is said where it differs."""
    own, vault, partner = frozenset(range(1019)), frozenset({1019, 1020}), frozenset(range(1024))
    lenders = [Lender("own memory", own), Lender("the vault", vault), Lender("kakashi", partner)]
    repair = plan_repair("own memory", 1024, lenders)
    assert repair.text == "2 of 1024 chunks came from the vault, 3 from kakashi, the rest from own memory"
    assert repair.patches == (Patch(1019, "own memory"), Patch(2, "the vault"), Patch(3, "kakashi"))
    repair = plan_repair("kakashi", 1024, [lenders[0], lenders[2]])
    assert repair.text == (
        "5 of 1024 chunks came from kakashi, the rest from own memory; header, manifest and table from kakashi"
    )
    assert plan_repair("kakashi", 1024, lenders[2:]).text == "all 1024 chunks came from kakashi"
    assert plan_repair("the vault", 0, []).text == "header, manifest and table came from the vault"


def test_what_is_said_where_no_mix_is_whole() -> None:
    """How much is missing, and where it was sought."""
    lenders = [Lender("own memory", frozenset({0, 1})), Lender("the vault", frozenset({1}))]
    repair = plan_repair("own memory", 4, lenders)
    assert repair.missing == (2, 3)
    assert repair.text == "2 of 4 chunks are whole in no copy (own memory, the vault)"
    assert plan_repair("own memory", 1, []).text == "1 of 1 chunks are whole in no copy (none is left)"
