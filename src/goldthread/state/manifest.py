"""The manifest of an image: made from what a walk found, and read back (its shape: `tree.py`)."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from goldthread.errors import CommitDamaged
from goldthread.slots.layout import Layout
from goldthread.state.outline import Outline, draw_outline
from goldthread.state.walk import Walk

__all__ = ["Structure", "decode_key", "dtype_from", "dtype_word", "read_manifest"]

Array = np.ndarray[Any, Any]

_LIST_OF_TWO = b"\x92"
_OUTLINES_MOST = 8
"""A state whose values take other types again and again is walked each time."""
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class Structure:
    """What stays the same from commit to commit: the encoded structure and the layout of the payload."""

    def __init__(self, walk: Walk) -> None:
        f_ordered = {
            index
            for index, array in enumerate(walk.arrays)
            if array.ndim > 1 and array.flags.f_contiguous and not array.flags.c_contiguous
        }
        self.layout = Layout(walk.shapes, walk.dtypes, f_ordered)
        self._signature = _signature(walk)
        self._shapes = walk.shapes
        self._dtypes = walk.dtypes
        self._f_ordered = f_ordered
        self._next_array = 0
        atoms = iter(walk.atoms)
        self._encoded = _LIST_OF_TWO + _encode(self._node(next(atoms), atoms))
        self._outline: Outline | None = None
        self._outlines_left = _OUTLINES_MOST

    def fits(self, walk: Walk) -> bool:
        """Whether a later walk found the same, so that only values and bytes may differ."""
        return self._signature == _signature(walk)

    def manifest(self, values: list[object]) -> bytes:
        return self._encoded + _encode(values)

    def remember(self, roots: dict[str, object]) -> None:
        """Draw the outline of a state that fits, for the next one."""
        if self._outlines_left:
            self._outlines_left -= 1
            self._outline = draw_outline(roots)

    def again(self, roots: dict[str, object]) -> tuple[bytes, list[Array]] | None:
        """Manifest and arrays of a state that is certain to have this structure; None where only a walk can tell."""
        found = None if self._outline is None else self._outline.find(roots)
        if found is None:
            return None
        try:
            return self.manifest(found[0]), found[1]
        except (OverflowError, UnicodeEncodeError):  # A value that is written otherwise.
            return None

    def _node(self, atom: Any, atoms: Iterator[Any]) -> object:
        if atom == "array":
            return self._array()
        if isinstance(atom, str):
            return atom
        kind, *details = atom
        if kind == "same":
            return list(atom)
        if details and details[0] == "value":
            return [kind, details[1] if kind == "enum" else dtype_word(details[1])]
        if details and details[0] == "bytes":
            index = self._take()
            return [kind, *details[1:], self.layout.offsets[index], self.layout.lengths[index]]
        *details, count = details
        if kind in _DICTS:
            *details, keys, _ = details
            details.append([_encode_key(key) for key in keys])
        if count <= 0:
            return [kind, *details, -count]
        return [kind, *details, [self._node(next(atoms), atoms) for _ in range(count)]]

    def _take(self) -> int:
        self._next_array += 1
        return self._next_array - 1

    def _array(self) -> object:
        index = self._take()
        order = "F" if index in self._f_ordered else "C"
        shape = list(self._shapes[index])
        return ["array", dtype_word(self._dtypes[index]), shape, order, self.layout.offsets[index]]


def _signature(walk: Walk) -> tuple[object, ...]:
    return walk.atoms, walk.shapes, walk.dtypes, walk.strides


_DICTS = frozenset({"dict", "OrderedDict", "Counter", "defaultdict"})


def read_manifest(manifest: bytes | memoryview) -> tuple[Any, list[Any]]:
    """Structure and values. Raises `CommitDamaged` where it is no manifest."""
    try:
        structure, values = _decode(manifest)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise CommitDamaged(f"the manifest of a commit cannot be read: {error}") from error
    return structure, values


def _encode_key(key: object) -> object:
    """A key in msgpack: itself; a list for a tuple; a map for what msgpack has no word for."""
    if isinstance(key, tuple):
        return [_encode_key(part) for part in key]
    if isinstance(key, int) and not -(2**63) <= key < 2**64:
        return {"int": hex(key)}
    if isinstance(key, str):
        try:
            key.encode()
        except UnicodeEncodeError:
            return {"text": key.encode("utf-8", "surrogatepass")}
    return key


def decode_key(word: Any) -> Any:
    if isinstance(word, list):
        return tuple(decode_key(part) for part in word)
    if isinstance(word, dict):
        if "int" in word:
            return int(word["int"], 16)
        return word["text"].decode("utf-8", "surrogatepass")
    return word


def dtype_word(dtype: np.dtype[Any]) -> object:
    """A type in plain words: `"<f4"`; the name of a type that another package added; a map for named fields."""
    if dtype.subdtype is not None:
        part, shape = dtype.subdtype
        return [dtype_word(part), list(shape)]
    if dtype.names is not None:
        fields = [dtype.fields[name] for name in dtype.names]  # type: ignore[index]
        return {
            "names": list(dtype.names),
            "formats": [dtype_word(field[0]) for field in fields],
            "offsets": [field[1] for field in fields],
            "itemsize": dtype.itemsize,
            "aligned": dtype.isalignedstruct,
        }
    return dtype.name if dtype.isbuiltin == _ADDED else dtype.str


_ADDED = 2
"""What `dtype.isbuiltin` says of a type that another package added, such as bfloat16."""


def dtype_from(word: Any) -> np.dtype[Any]:
    if isinstance(word, list):
        part, shape = word
        whole: np.dtype[Any] = np.dtype((dtype_from(part), tuple(shape)))
        return whole
    if isinstance(word, dict):
        described = {
            "names": word["names"],
            "formats": [dtype_from(part) for part in word["formats"]],
            "offsets": word["offsets"],
            "itemsize": word["itemsize"],
        }
        fields: np.dtype[Any] = np.dtype(described, align=word["aligned"])  # type: ignore[call-overload]
        return fields
    if not re.match(r"[<>|=]", word):
        return _added_dtype(word)
    plain: np.dtype[Any] = np.dtype(word)
    return plain


def _added_dtype(name: str) -> np.dtype[Any]:
    """A type that another package added; plain bytes where that package is not loaded."""
    package = sys.modules.get("ml_dtypes")
    kind = getattr(package, name, None)
    if kind is None:
        raise CommitDamaged(f"the type {name} of an array is not known here", hint="import ml_dtypes first")
    added: np.dtype[Any] = np.dtype(kind)
    return added
