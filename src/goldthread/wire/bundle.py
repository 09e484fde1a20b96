"""What is needed to run a member on another host, as it travels with the bond before it is needed.

A bundle is a command, its variables, the program's own small files, and what its interpreter is. A file's path is
relative to a folder of the owner's host, its *tree*; what comes from a partner is looked at before it is believed,
and no path leads out of its tree. The *digest* names a bundle by all that is in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from goldthread.errors import PartnerError, UsageError
from goldthread.names import MemberName, member_name

__all__ = [
    "Bundle",
    "BundleFile",
    "BundleLimits",
    "Interpreter",
    "Tree",
    "differences",
    "digest_of",
    "is_safe_path",
    "pack",
    "unpack",
]

_DIGEST_LENGTH: Final = 32
_PATH_BYTES_MOST: Final = 1024
_PART_BYTES_MOST: Final = 255
_TREES_MOST: Final = 16
_SAID_MOST: Final = 20
_BESIDE_FILES_BYTES: Final = 8 << 20
_NOT_COMPARED: Final = frozenset({"pip", "setuptools", "wheel"})


class BundleLimits(msgspec.Struct, frozen=True):
    """What a bundle may be, on leaving one host and on reaching another."""

    bytes: int = 32 << 20
    """Of all files together."""
    file_bytes: int = 4 << 20
    files: int = 10_000

    @property
    def packed_bytes(self) -> int:
        """Of the bundle as it travels."""
        return self.bytes + _BESIDE_FILES_BYTES


class BundleFile(msgspec.Struct, frozen=True):
    path: str
    """Relative to its tree, parted by `/`."""
    is_executable: bool
    content: bytes


class Tree(msgspec.Struct, frozen=True):
    """Files from below one folder."""

    folder: str
    """Where they lie on the owner's host."""
    files: tuple[BundleFile, ...]
    """In the order of their paths."""


class Interpreter(msgspec.Struct, frozen=True):
    """The Python that runs a program, and what is installed in it."""

    path: str
    implementation: str
    version: str
    platform: str
    """`linux x86_64`."""
    packages: dict[str, str]
    """Version by name."""


class Bundle(msgspec.Struct, frozen=True):
    member: MemberName
    argv: tuple[str, ...]
    directory: str
    """The working directory, on the owner's host: the folder of the first tree."""
    environment: dict[str, str]
    """Without those variables that never travel."""
    trees: tuple[Tree, ...]
    interpreter: Interpreter | None
    """None where the program is not known to be Python's."""


_encode = msgspec.msgpack.Encoder(order="sorted").encode
_decode = msgspec.msgpack.Decoder(Bundle).decode


def pack(bundle: Bundle) -> bytes:
    """Equal bundles have equal bytes."""
    return _encode(bundle)


def digest_of(packed: bytes) -> str:
    return hashlib.sha256(packed).hexdigest()[:_DIGEST_LENGTH]


def unpack(packed: bytes, limits: BundleLimits) -> Bundle:
    """Raises `PartnerError` for what is no bundle, or a larger one, or one whose files would lie elsewhere."""
    _require(len(packed) <= limits.packed_bytes, f"it has {len(packed)} bytes of at most {limits.packed_bytes}")
    try:
        bundle = _decode(packed)
        member_name(bundle.member)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, UsageError) as error:
        raise PartnerError(f"a bundle could not be read: {error}") from error
    _require(bool(bundle.argv), "it has no command")
    _require(not any("\0" in text for text in _texts(bundle)), "a text in it holds a zero byte")
    _require(not any("=" in name or not name for name in bundle.environment), "it names a variable that cannot be one")
    _require(0 < len(bundle.trees) <= _TREES_MOST, f"it has {len(bundle.trees)} trees")
    _require(all(tree.folder.startswith("/") for tree in bundle.trees), "the folder of a tree has no absolute path")
    _require(bundle.directory == bundle.trees[0].folder, "its working directory is not that of its first tree")
    _require(len({tree.folder for tree in bundle.trees}) == len(bundle.trees), "it has a tree twice")
    for tree in bundle.trees:
        _check_paths(tree)
    _check_sizes([file for tree in bundle.trees for file in tree.files], limits)
    return bundle


def is_safe_path(path: str) -> bool:
    """Whether a path is relative, says where it leads without detours, and is short enough for a file system."""
    parts = path.split("/")
    return (
        path.isprintable()
        and len(path.encode()) <= _PATH_BYTES_MOST
        and all(part not in ("", ".", "..") and len(part.encode()) <= _PART_BYTES_MOST for part in parts)
    )


def differences(there: Interpreter, here: Interpreter | None) -> tuple[str, ...]:
    """How the interpreter of the owner (`there`) and that of the holder (`here`) differ, in sentences.

    Packages that only the holder has do no harm and are not named.
    """
    if here is None:
        return ("the holder has no Python that answers",)
    found = [
        f"{what} is {theirs} at the owner, {mine} at the holder"
        for what, theirs, mine in (
            ("Python", f"{there.implementation} {there.version}", f"{here.implementation} {here.version}"),
            ("the platform", there.platform, here.platform),
        )
        if theirs != mine
    ]
    packages = list(_package_differences(there.packages, here.packages))
    if len(packages) > _SAID_MOST:
        packages[_SAID_MOST:] = [f"{len(packages) - _SAID_MOST} more packages differ"]
    return (*found, *packages)


def _package_differences(theirs: dict[str, str], mine: dict[str, str]) -> Iterator[str]:
    for name in sorted(theirs.keys() - _NOT_COMPARED):
        if name not in mine:
            yield f"{name} {theirs[name]} is missing at the holder"
        elif theirs[name] != mine[name]:
            yield f"{name} is {theirs[name]} at the owner, {mine[name]} at the holder"


def _texts(bundle: Bundle) -> Iterator[str]:
    yield from bundle.argv
    yield bundle.directory
    yield from bundle.environment
    yield from bundle.environment.values()
    yield from (tree.folder for tree in bundle.trees)


def _check_paths(tree: Tree) -> None:
    paths = {file.path for file in tree.files}
    _require(len(paths) == len(tree.files), "it has a file twice")
    for path in paths:
        _require(is_safe_path(path), f"the path {path[:_PART_BYTES_MOST]!r} leads elsewhere, or cannot be one")
        _require(paths.isdisjoint(_folders_of(path)), f"{path!r} lies in a folder that is a file")


def _folders_of(path: str) -> Iterator[str]:
    at = path.find("/")
    while at >= 0:
        yield path[:at]
        at = path.find("/", at + 1)


def _check_sizes(files: Iterable[BundleFile], limits: BundleLimits) -> None:
    sizes = [len(file.content) for file in files]
    _require(len(sizes) <= limits.files, f"it has {len(sizes)} files of at most {limits.files}")
    _require(sum(sizes) <= limits.bytes, f"its files have {sum(sizes)} bytes of at most {limits.bytes}")
    _require(max(sizes, default=0) <= limits.file_bytes, f"a file in it has more than {limits.file_bytes} bytes")


def _require(holds: bool, text: str) -> None:
    if not holds:
        raise PartnerError(f"a bundle cannot be right: {text}")
