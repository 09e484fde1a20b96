"""A manifest may come from another host or from a damaged file: it is read, or refused, and nothing else."""

from __future__ import annotations

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldthread.errors import CommitDamaged
from goldthread.state.nodes import parse

LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text() | st.binary()
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
KINDS = ("dict", "list", "tuple", "value", "array", "same", "scalar", "enum", "bytes", "dataclass", "namedtuple")
FORMS = st.recursive(
    st.sampled_from(KINDS) | LEAVES, lambda inner: st.lists(st.sampled_from(KINDS) | inner, min_size=1)
)
GOOD = msgspec.msgpack.encode([["dict", ["step", "x"], 2], [5, 1.5]])


@given(st.binary())
def test_whatever_the_bytes_only_damage_comes_out(manifest: bytes) -> None:
    with suppress(CommitDamaged):
        parse(manifest)


@given(TREES, TREES)
def test_whatever_is_packed_only_damage_comes_out(structure: object, values: object) -> None:
    with suppress(CommitDamaged):
        parse(msgspec.msgpack.encode([structure, values]))


@given(FORMS, st.lists(LEAVES))
def test_whatever_has_the_form_of_a_structure_only_damage_comes_out(structure: object, values: list[object]) -> None:
    with suppress(CommitDamaged):
        parse(msgspec.msgpack.encode([structure, values]))


@given(st.integers(0, len(GOOD) - 1))
def test_a_manifest_that_is_cut_is_damaged(length: int) -> None:
    with pytest.raises(CommitDamaged):
        parse(GOOD[:length])
