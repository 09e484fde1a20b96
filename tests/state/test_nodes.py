"""A manifest may come from another host or from a damaged file: it is read, or refused, and nothing else."""

from __future__ import annotations

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldthread.errors import CommitDamaged
from goldthread.state.kinds.registry import REGISTRY
from goldthread.state.nodes import Parsed
from goldthread.state.nodes import parse as parse_with

LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text() | st.binary()
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


def parse(manifest: bytes) -> Parsed:
    return parse_with(manifest, REGISTRY.kinds)


KINDS = (
    "dict",
    "list",
    "tuple",
    "value",
    "array",
    "same",
    "scalar",
    "enum",
    "bytes",
    "dataclass",
    "namedtuple",
    "object",
)
FORMS = st.recursive(
    st.sampled_from(KINDS) | LEAVES, lambda inner: st.lists(st.sampled_from(KINDS) | inner, min_size=1)
)
OLD = msgspec.msgpack.encode([["dict", ["step", "x"], 2], [5, 1.5]])
GOOD = msgspec.msgpack.encode([[["dict", ["step", "x"], 2], "value", "array"], [["<f8", [3], "C", 0]], [5]])
PLACES = st.lists(LEAVES | st.just(["<f8", [3], "C", 0]) | st.just([0, 8]) | st.just([0, 8, [8], [0, 8]]))


@given(st.binary())
def test_whatever_the_bytes_only_damage_comes_out(manifest: bytes) -> None:
    with suppress(CommitDamaged):
        parse(manifest)


@settings(max_examples=40, deadline=None)
@given(TREES, TREES)
def test_whatever_is_packed_only_damage_comes_out(structure: object, values: object) -> None:
    with suppress(CommitDamaged):
        parse(msgspec.msgpack.encode([structure, values]))


@settings(max_examples=40, deadline=None)
@given(FORMS, st.lists(LEAVES))
def test_whatever_has_the_form_of_a_structure_only_damage_comes_out(structure: object, values: list[object]) -> None:
    with suppress(CommitDamaged):
        parse(msgspec.msgpack.encode([structure, values]))


@settings(max_examples=40, deadline=None)
@given(st.lists(FORMS), PLACES, st.lists(LEAVES | st.lists(LEAVES)))
def test_whatever_has_the_form_of_words_only_damage_comes_out(words: object, places: object, values: object) -> None:
    with suppress(CommitDamaged):
        parse(msgspec.msgpack.encode([words, places, values]))


@pytest.mark.parametrize("manifest", [GOOD, OLD])
def test_a_manifest_that_is_cut_is_damaged(manifest: bytes) -> None:
    parse(manifest)
    for length in range(len(manifest)):
        with pytest.raises(CommitDamaged):
            parse(manifest[:length])
