"""What a takeover needs is told by one partner and looked at by the other."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from goldthread.errors import PartnerError
from goldthread.names import MemberName
from goldthread.wire.bundle import (
    Bundle,
    BundleFile,
    BundleLimits,
    Interpreter,
    Tree,
    differences,
    digest_of,
    is_safe_path,
    pack,
    unpack,
)

LIMITS = BundleLimits(bytes=100, file_bytes=60, files=3)
PYTHON = Interpreter("/usr/bin/python3", "CPython", "3.12.1", "linux x86_64", {"numpy": "2.4", "pip": "24.0"})


def bundle(*files: BundleFile, **changed: object) -> Bundle:
    made = Bundle(
        MemberName("walk"), ("python3", "walk.py"), "/data/walk", {"STEPS": "3"}, (Tree("/data/walk", files),), PYTHON
    )
    return msgspec.structs.replace(made, **changed)


def file(path: str, content: bytes = b"x") -> BundleFile:
    return BundleFile(path, False, content)


def test_what_was_packed_is_unpacked() -> None:
    packed = bundle(file("walk.py"), BundleFile("bin/go", True, b"#!/bin/sh\n"))
    assert packed == unpack(pack(packed), LIMITS)


def test_equal_bundles_have_one_digest() -> None:
    """Whatever the order in which variables were set; a change anywhere is another digest."""
    first = pack(bundle(file("walk.py"), environment={"A": "1", "B": "2"}))
    second = pack(bundle(file("walk.py"), environment={"B": "2", "A": "1"}))
    assert digest_of(first) == digest_of(second)
    changed = [
        bundle(file("walk.py", b"y"), environment={"A": "1", "B": "2"}),
        bundle(BundleFile("walk.py", True, b"x"), environment={"A": "1", "B": "2"}),
        bundle(file("walk.py"), environment={"A": "1", "B": "3"}),
        bundle(file("walk.py"), environment={"A": "1", "B": "2"}, interpreter=None),
    ]
    assert len({digest_of(pack(other)) for other in changed} | {digest_of(first)}) == 5


@pytest.mark.parametrize(
    "path",
    [
        "", ".", "..", "/etc/passwd", "../up", "a/../../up", "a//b", "a/", "./a", "a/./b", "a\0b", "a\nb", "é" * 128,
        "a/" * 512 + "a",
    ],
)  # fmt: skip
def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    assert not is_safe_path(path)
    with pytest.raises(PartnerError):
        unpack(pack(bundle(file(path))), LIMITS)


@pytest.mark.parametrize("path", ["a", "a/b.py", "..a", "a..", ".hidden", "with space", "häuser/straße", "a" * 255])
def test_an_honest_path_is_let_through(path: str) -> None:
    assert is_safe_path(path)
    unpack(pack(bundle(file(path))), LIMITS)


@pytest.mark.parametrize(
    "wrong",
    [
        bundle(file("a"), file("a")),
        bundle(file("a"), file("a/b")),
        bundle(file("a/b"), file("a/b/c/d")),
        bundle(file("a", bytes(61))),
        bundle(file("a", bytes(60)), file("b", bytes(41))),
        bundle(file("a"), file("b"), file("c"), file("d")),
        bundle(member="../walk"),
        bundle(argv=()),
        bundle(argv=("python3", "a\0b")),
        bundle(environment={"A=B": "1"}),
        bundle(environment={"": "1"}),
        bundle(environment={"A": "\0"}),
        bundle(trees=()),
        bundle(directory="/elsewhere"),
        bundle(directory="walk", trees=(Tree("walk", ()),)),
        bundle(trees=(Tree("/data/walk", ()), Tree("/data/walk", ()))),
        bundle(trees=(Tree("/data/walk", ()), *(Tree(f"/{at}", ()) for at in range(16)))),
    ],
)
def test_what_cannot_be_right_is_refused(wrong: Bundle) -> None:
    with pytest.raises(PartnerError):
        unpack(pack(wrong), LIMITS)


def test_limits_are_inclusive() -> None:
    unpack(pack(bundle(file("a", bytes(60)), file("b", bytes(40)), file("c", b""))), LIMITS)


def test_more_bytes_than_can_be_right_are_not_read() -> None:
    with pytest.raises(PartnerError, match="bytes of at most"):
        unpack(bytes(LIMITS.packed_bytes + 1), LIMITS)


@given(some.binary(max_size=200))
def test_noise_is_refused_in_words(noise: bytes) -> None:
    with pytest.raises(PartnerError):
        unpack(noise, LIMITS)


@given(some.data())
def test_a_damaged_bundle_is_refused_or_harmless(data: some.DataObject) -> None:
    """Bytes changed, left out or put in: what is let through has only paths that stay where they belong."""
    packed = bytearray(pack(bundle(file("walk.py"), file("a/b", b"123"))))
    for _ in range(data.draw(some.integers(1, 4))):
        at = data.draw(some.integers(0, len(packed) - 1))
        packed[at : at + data.draw(some.integers(0, 2))] = data.draw(some.binary(max_size=2))
    try:
        found = unpack(bytes(packed), LIMITS)
    except PartnerError:
        return
    assert all(is_safe_path(one.path) for tree in found.trees for one in tree.files)


def test_hosts_that_are_alike_do_not_differ() -> None:
    """Neither by what only the holder has, nor by what installs packages."""
    here = msgspec.structs.replace(PYTHON, path="/opt/python", packages={"numpy": "2.4", "pip": "25.1", "torch": "2.8"})
    assert differences(PYTHON, here) == ()


def test_differences_are_said_in_sentences() -> None:
    there = msgspec.structs.replace(PYTHON, packages={"numpy": "2.4", "scipy": "1.16", "xxhash": "3.5"})
    here = Interpreter("", "PyPy", "3.11.2", "linux aarch64", {"numpy": "2.3", "xxhash": "3.5"})
    assert differences(there, here) == (
        "Python is CPython 3.12.1 at the owner, PyPy 3.11.2 at the holder",
        "the platform is linux x86_64 at the owner, linux aarch64 at the holder",
        "numpy is 2.4 at the owner, 2.3 at the holder",
        "scipy 1.16 is missing at the holder",
    )
    assert differences(there, None) == ("the holder has no Python that answers",)


def test_many_differences_are_counted() -> None:
    there = msgspec.structs.replace(PYTHON, packages={f"package{at:02}": "1" for at in range(33)})
    said = differences(there, PYTHON)
    assert (len(said), said[-1]) == (21, "13 more packages differ")
