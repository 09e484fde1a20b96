"""A commit as files that need no goldthread: arrays as safetensors, all else as JSON beside them.

A safetensors file is eight bytes of length, a JSON header, and the arrays one after the other. Types that it has no
word for are written as bytes (`U8`), with their type and shape named in its `__metadata__`.
"""

from __future__ import annotations

import base64
import contextlib
import json
import math
import os
import struct
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np

from goldthread.errors import CommitDamaged
from goldthread.slots.slot import Slot
from goldthread.state.depth import many_levels
from goldthread.state.kind import Form
from goldthread.state.kinds.registry import REGISTRY
from goldthread.state.nodes import SAME, Node
from goldthread.state.rebuild import Rebuilder
from goldthread.wire.image import Header, read_header

__all__ = ["export", "export_image"]

_WORDS: Final = {
    "|b1": "BOOL", "|u1": "U8", "|i1": "I8", "<u2": "U16", "<i2": "I16", "<u4": "U32", "<i4": "I32", "<u8": "U64",
    "<i8": "I64", "<q": "I64", "<Q": "U64", "<f2": "F16", "<f4": "F32", "<f8": "F64", "<c8": "C64", "bfloat16": "BF16",
}  # fmt: skip
"""The names of types in safetensors."""
_TORCH_WORDS: Final = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "uint32": "U32", "int32": "I32",
    "uint64": "U64", "int64": "I64", "float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64",
    "complex64": "C64",
}  # fmt: skip


def export_image(descriptor: int, path: Path) -> tuple[Path, Path]:
    """Export the sealed image that is open as a descriptor; returns the two files."""
    slot = Slot(descriptor, writable=False)
    try:
        return export(slot.image, path)
    finally:
        slot.close()


def export(image: memoryview, path: Path) -> tuple[Path, Path]:
    """Write the arrays to `path` and all else to `path` with the suffix `.json`, each whole or not at all."""
    header = read_header(image)
    if header is None:
        raise CommitDamaged("this commit was never sealed")
    with many_levels():
        return _export(image, header, path)


def _export(image: memoryview, header: Header, path: Path) -> tuple[Path, Path]:
    exporter = _Exporter(Rebuilder(image, header, REGISTRY, map=True))
    roots = dict(zip(exporter.rebuilder.root.keys, exporter.rebuilder.root.expand(), strict=True))
    tree = exporter.plain(roots["state"], ())
    beside = path.with_suffix(".json") if path.suffix != ".json" else path.with_name(f"{path.name}.json")
    _write_whole(path, exporter.safetensors(header))
    facts = {"member": header.member, "epoch": header.epoch, "step": header.step, "state": tree}
    _write_whole(beside, [json.dumps(facts, indent=1, allow_nan=False).encode()])
    return path, beside


class _Exporter:
    """Turns nodes into plain JSON, and gathers the arrays on the way."""

    def __init__(self, rebuilder: Rebuilder) -> None:
        self.rebuilder = rebuilder
        self._tensors: dict[str, tuple[str, list[int], memoryview]] = {}
        self._metadata: dict[str, str] = {}
        self._named: dict[int, Any] = {}
        """By number, what stands for an object where it is met again: its tensor, or where it stands."""

    def plain(self, node: Any, path: tuple[str, ...]) -> Any:
        if type(node) is not Node:
            return _plain_value(node)
        if node.kind is SAME:
            return self._named.get(node.number, {"same": repr(node.number)})
        if node.number == -1:
            return self._plain(node, path)
        self._named[node.number] = {"same": ".".join(path) or "state"}
        made = self._plain(node, path)
        if isinstance(made, dict) and "tensor" in made:
            self._named[node.number] = made
        return made

    def _plain(self, node: Node, path: tuple[str, ...]) -> Any:
        name = node.kind.name
        if name == "array":
            dtype, shape, *_ = node.details
            data = np.ascontiguousarray(self.rebuilder.view(node)).reshape(-1).view(np.uint8).data
            return self._tensor(path, _WORDS.get(str(dtype)), dtype, shape, data)
        if node.kind.array is not None:
            elements = node.kind.array(self.rebuilder, node)
            if elements is None:
                return {name: node.details[:-2]}
            dtype, shape = node.details[:2]
            data = np.ascontiguousarray(elements).reshape(-1).view(np.uint8).data
            return self._tensor(path, _TORCH_WORDS.get(dtype), dtype, shape, data)
        if name in ("tensor", "jax"):
            dtype, shape = node.details[:2]
            return self._tensor(path, _TORCH_WORDS.get(dtype), dtype, shape, self.rebuilder.raw(node, ""))
        if node.kind.form is Form.BUFFER:
            text, layout = base64.b64encode(self.rebuilder.raw(node, "")).decode(), node.details[:-2]
            return {name: [text, *layout] if name in ("buffer", "pyarray") else text}
        if node.kind.form is not Form.VALUE:
            return self._container(node, path)
        if name == "int":
            return _plain_value(int(node.value, 16))
        if name == "scalar":
            return _plain_value(self.rebuilder.make(node, "").item())
        return {name: _plain_value(node.value)}

    def _container(self, node: Node, path: tuple[str, ...]) -> Any:
        name, children = node.kind.name, node.expand()
        if node.keys is None:
            half = len(children) // 2
            keys = [self.plain(key, (*path, "key")) for key in children[:half]]
            values = [self.plain(child, (*path, str(at))) for at, child in enumerate(children[half:])]
            return {"items": list(zip(keys, values, strict=True))}
        items = [(key, self.plain(child, (*path, str(key)))) for key, child in zip(node.keys, children, strict=True)]
        if name in _AS_ITS_CONTENTS:
            return items[0][1]
        if node.kind.form is Form.KEYED:
            if all(isinstance(key, str) for key in node.keys):
                return dict(items)
            return {"items": [[_plain_value(key), value] for key, value in items]}
        values = [value for _, value in items]
        return values if name in _LISTS else {name: values}

    def _tensor(
        self, path: tuple[str, ...], word: str | None, dtype: object, shape: list[int], data: memoryview
    ) -> dict[str, str]:
        name = (".".join(path) or "state").encode("utf-8", "backslashreplace").decode()
        while name in self._tensors or name == "__metadata__":
            name += "_"
        if word is None:
            self._metadata[name] = json.dumps({"dtype": dtype, "shape": shape})
            word, shape = "U8", [len(data)]
        self._tensors[name] = (word, shape, data)
        return {"tensor": name}

    def safetensors(self, header: Header) -> Iterable[bytes | memoryview]:
        """The pieces of the file."""
        metadata = {"member": header.member, "epoch": str(header.epoch), "step": str(header.step), **self._metadata}
        described: dict[str, Any] = {"__metadata__": metadata}
        at = 0
        for name, (word, shape, data) in self._tensors.items():
            described[name] = {"dtype": word, "shape": shape, "data_offsets": [at, at + len(data)]}
            at += len(data)
        head = json.dumps(described).encode()
        head += b" " * (-len(head) % 8)
        yield struct.pack("<Q", len(head)) + head
        for _, _, data in self._tensors.values():
            yield data


_LISTS: Final = frozenset({"list", "tuple", "set", "frozenset", "deque"})
_AS_ITS_CONTENTS: Final = frozenset({"attributed", "leaf", "recipe", "registered", "stateful"})
"""What is stored as something else is exported as that."""
_DIGITS_MOST: Final = 4000


def _plain_value(value: Any) -> Any:
    """A value in JSON; what JSON has no word for as a dict that names its kind."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, complex):
        return {"complex": [_plain_value(value.real), _plain_value(value.imag)]}
    if isinstance(value, (list, tuple)):
        return [_plain_value(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain_value(item) for key, item in value.items()}
    if isinstance(value, int) and value.bit_length() > _DIGITS_MOST:
        return {"int": hex(value)}  # Python reads and writes no longer numbers in digits.
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def _umask() -> int:
    """Which permissions the user's new files shall not have."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _write_whole(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Write a file whole or not at all: beside its place first, then moved there."""
    descriptor, beside = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        Path(beside).chmod(0o666 & ~_umask())
        Path(beside).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(beside).unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
