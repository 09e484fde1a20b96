"""From an image back to objects: each node of the structure made anew, in memory of its own.

Bytes from elsewhere are never executed: a class that the structure names is used only if it is loaded already and is
a dataclass, a named tuple or an enum indeed, and a pickle is read only where the user asked for it.

Each chunk is verified once, just before the first of its bytes is used: the copy then finds it in the cache.
"""

from __future__ import annotations

import array
import dataclasses
import datetime
import enum
import pickle
import random
import sys
import zoneinfo
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from goldthread.errors import CommitDamaged, DoesNotFit
from goldthread.slots.copying import ALONE_BYTES, Crew, flat
from goldthread.state.leaves import FACTORIES
from goldthread.state.manifest import dtype_from
from goldthread.state.nodes import Node, form_place, parse
from goldthread.wire.image import CHECKSUM_BYTES, HEADER_BYTES, Header, checksum

__all__ = [
    "Rebuilder",
    "build_named",
    "empty_dict",
    "fill_tensor",
    "find_class",
    "generator_state",
    "random_state",
    "tensor_view",
]

Array = np.ndarray[Any, Any]
_SMALL_BYTES: Final = 256 << 10
"""New arrays below this size are copied at once."""


def find_class(path: str, kind: str) -> type | None:
    """The dataclass, named tuple or enum of this path among the modules that are loaded; None where there is none."""
    module, _, name = path.partition(":")
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, type):
        return None
    if kind == "dataclass":
        return found if dataclasses.is_dataclass(found) else None
    if kind == "enum":
        return found if issubclass(found, enum.Enum) else None
    return found if issubclass(found, tuple) and hasattr(found, "_fields") else None


class Rebuilder:
    """Makes objects from nodes; `fill` must be called at the end.

    With `map`, arrays are views of the image, and nothing is verified: whoever gave the image vouches for it.
    """

    def __init__(self, image: memoryview, header: Header, *, map: bool, pickle: bool) -> None:
        self.root, self._shared = parse(image[header.manifest_at : header.table_at])
        self.payload = image[HEADER_BYTES : header.manifest_at]
        self.map = map
        self.made: dict[int, Any] = {}
        """Shared objects by their number."""
        self._pickle = pickle
        self._header = header
        self._table = image[header.table_at : header.image_bytes]
        self._verified = bytearray(header.chunk_count)
        """1 for each chunk that was found to be what was sealed."""
        self._bytes = np.frombuffer(self.payload, np.uint8)
        self._fills: list[tuple[Array, Array, int, str]] = []
        """What is still to be copied: target, source, where the source lies in the payload, and its place."""

    def make(self, node: Node, place: str) -> Any:
        """The object of a node. `place` is for errors."""
        if node.kind == "value":
            return node.value
        if node.kind == "same":
            if node.number not in self.made:
                self.make(self._shared[node.number], place)
            return self.made[node.number]
        maker = _MAKERS.get(node.kind)
        if maker is None:
            raise CommitDamaged(f"{place}: this version knows no {node.kind}")
        made = maker(self, node, place)
        if node.number >= 0:
            self.made[node.number] = made
        return made

    def verify(self, at: int, length: int, place: str) -> None:
        """Raise `CommitDamaged` unless the chunks that hold these bytes of the payload are what was sealed."""
        if self.map:
            return
        size = self._header.chunk_bytes
        for index in range(at // size, -(-(at + length) // size)):
            if not self._verified[index]:
                found = checksum(self.payload[index * size : (index + 1) * size])
                if found != self._table[index * CHECKSUM_BYTES : (index + 1) * CHECKSUM_BYTES]:
                    whole = f"chunk {index + 1} of {self._header.chunk_count} of {self._header.commit}"
                    raise CommitDamaged(f"{place}: {whole} is damaged")
                self._verified[index] = 1

    def fill_array(self, target: Array, node: Node, place: str) -> None:
        """Have `fill` copy an "array" node into an array of the same shape and type."""
        source, at = self.view(node), node.details[3]
        raw = flat(target)
        if raw is None or (target.ndim > 1 and target.flags.c_contiguous != source.flags.c_contiguous):
            self._fills.append((target, source, at, place))
        else:
            self.fill_bytes(raw, at, place)

    def fill_bytes(self, target: Array, at: int, place: str) -> None:
        """Have `fill` copy as many bytes as `target` has, from `at` in the payload; in pieces that a cache holds."""
        start, size = 0, self._header.chunk_bytes
        while start < len(target):
            end = min(len(target), start + size - (at + start) % size)
            self._fills.append((target[start:end], self._bytes[at + start : at + end], at + start, place))
            start = end

    def fill(self) -> None:
        """Verify and copy all that waits to be copied."""

        def copy(first: int, last: int) -> None:
            for target, source, at, place in self._fills[first:last]:
                self.verify(at, source.nbytes, place)
                np.copyto(target, source)

        alone = sum(source.nbytes for _, source, _, _ in self._fills) < ALONE_BYTES
        Crew().do(len(self._fills), copy, alone=alone)
        self._fills = []

    def children(self, node: Node, place: str) -> list[Any]:
        return [
            child.value if child.kind == "value" else self.make(child, place + form_place(node.kind, key))
            for key, child in zip(node.keys, node.children, strict=True)
        ]

    def view(self, node: Node) -> Array:
        """The array of an "array" node as it lies in the image."""
        dtype, shape, order, at = node.details
        return np.ndarray(shape, dtype_from(dtype), self.payload, at, order=order)

    def raw(self, node: Node, place: str) -> memoryview:
        """The bytes of a node whose last two entries say where they are."""
        at, length = node.details[-2:]
        self.verify(at, length, place)
        return self.payload[at : at + length]

    def unpickle(self, node: Node, place: str) -> Any:
        if not self._pickle:
            raise DoesNotFit(
                f"{place}: it was stored as a pickle of {node.details[0]}",
                hint="goldthread.join(..., pickle=True) allows it: then restoring runs code that the pickle names",
            )
        return pickle.loads(self.raw(node, place))


def _array(rebuilder: Rebuilder, node: Node, place: str) -> Array:
    view = rebuilder.view(node)
    if rebuilder.map:
        return view
    made = np.empty_like(view, order="K")
    if view.nbytes < _SMALL_BYTES and view.dtype.names is None:
        rebuilder.verify(node.details[3], view.nbytes, place)
        np.copyto(made, view)
    else:  # As bytes: a copy of records would leave out what lies between their fields.
        rebuilder.fill_array(made, node, place)
    return made


def _named(rebuilder: Rebuilder, node: Node, place: str) -> Any:
    return build_named(_loaded_class(node, place), node.keys, rebuilder.children(node, place))


def _enum(rebuilder: Rebuilder, node: Node, place: str) -> Any:
    kind = _loaded_class(node, place)
    member = kind.__members__.get(node.value)
    if member is None:
        raise DoesNotFit(
            f"{place}: {kind.__qualname__} has no member {node.value}", hint="give the class its member again"
        )
    return member


def _loaded_class(node: Node, place: str) -> Any:
    path = node.details[0]
    found = find_class(path, node.kind)
    if found is None:
        raise DoesNotFit(
            f"{place}: it was stored as a {path.replace(':', '.')}, which is not loaded",
            hint=f"import {path.partition(':')[0]} first",
        )
    return found


def build_named(kind: Any, names: list[str], values: list[Any]) -> Any:
    """A dataclass or named tuple of these fields. `__init__` is not run: nothing of it is needed."""
    if issubclass(kind, tuple):
        defaults = {**kind._field_defaults, **dict(zip(names, values, strict=True))}
        return kind._make(defaults.get(name) for name in kind._fields)
    made = object.__new__(kind)
    for name, value in zip(names, values, strict=True):
        object.__setattr__(made, name, value)
    return made


def _dict(rebuilder: Rebuilder, node: Node, place: str) -> Any:
    made: dict[Any, Any] = empty_dict(node)
    for key, child in zip(node.keys, rebuilder.children(node, place), strict=True):
        made[key] = child
    return made


def empty_dict(node: Node) -> Any:
    if node.kind == "defaultdict":
        name = node.details[0]
        return defaultdict(None if name is None else FACTORIES[name])
    return {"dict": dict, "OrderedDict": OrderedDict, "Counter": Counter}[node.kind]()


def _deque(rebuilder: Rebuilder, node: Node, place: str) -> Any:
    return deque(rebuilder.children(node, place), node.details[0])


def _scalar(rebuilder: Rebuilder, node: Node, place: str) -> Any:
    return np.frombuffer(node.value, dtype_from(node.details[0]), 1)[0]


def _datetime(rebuilder: Rebuilder, node: Node, place: str) -> Any:
    kind: Any = {"date": datetime.date, "time": datetime.time, "datetime": datetime.datetime}[node.kind]
    text, fold, zone = node.value
    made: Any = kind.fromisoformat(text)
    return made if node.kind == "date" else made.replace(fold=fold, tzinfo=_zone(zone))


def _zone(word: Any) -> datetime.tzinfo | None:
    if word is None:
        return None
    if isinstance(word, str):
        return zoneinfo.ZoneInfo(word)
    days, seconds, microseconds, name = word
    offset = datetime.timedelta(days, seconds, microseconds)
    return datetime.timezone(offset) if name is None else datetime.timezone(offset, name)


def _random(rebuilder: Rebuilder, node: Node, place: str) -> random.Random:
    made = random.Random()
    made.setstate(random_state(node))
    return made


def random_state(node: Node) -> Any:
    version, words, gauss = node.value
    return version, tuple(array.array("I", words)), gauss


_BIT_GENERATORS: Final = {kind.__name__: kind for kind in np.random.BitGenerator.__subclasses__()}


def _bit_generator(rebuilder: Rebuilder, node: Node, place: str) -> Any:
    made: Any = _BIT_GENERATORS[node.details[0]]()
    made.__setstate__(generator_state(rebuilder, node, place))
    return made


def generator_state(rebuilder: Rebuilder, node: Node, place: str) -> tuple[Any, Any]:
    """The state and the seed sequence, as a bit generator takes them."""
    state, seed = rebuilder.children(node, place)
    return state, None if seed is None else np.random.SeedSequence(**seed)


def _generator(rebuilder: Rebuilder, node: Node, place: str) -> Any:
    return np.random.Generator(_bit_generator(rebuilder, node, place))


def _randomstate(rebuilder: Rebuilder, node: Node, place: str) -> Any:
    made = np.random.RandomState(_BIT_GENERATORS[node.details[0]]())
    made.set_state(rebuilder.children(node, place)[0])
    return made


def _buffer(rebuilder: Rebuilder, node: Node, place: str) -> memoryview:
    form, shape = node.details[:2]
    view = memoryview(bytearray(rebuilder.raw(node, place)))
    return view.cast(form, shape) if 0 not in shape else view


def _pyarray(rebuilder: Rebuilder, node: Node, place: str) -> Any:
    made = array.array(node.details[0])
    made.frombytes(rebuilder.raw(node, place))
    return made


def _tensor(rebuilder: Rebuilder, node: Node, place: str) -> Any:
    torch = _loaded("torch", place)
    dtype, shape, device, requires_grad, kind = node.details[:5]
    if device.startswith("cpu") and not rebuilder.map:
        tensor = torch.empty(shape, dtype=getattr(torch, dtype), device="cpu")
        fill_tensor(rebuilder, tensor, node, place)
    else:
        tensor = tensor_view(rebuilder, node, place)
    if not device.startswith("cpu"):
        try:
            tensor = tensor.to(device)
        except (RuntimeError, AssertionError) as error:
            raise DoesNotFit(
                f"{place}: the device {device} is not here: {error}", hint="give restore a tensor"
            ) from error
    if kind == "Parameter":
        return torch.nn.Parameter(tensor, requires_grad)
    return tensor.requires_grad_(requires_grad) if requires_grad else tensor


def fill_tensor(rebuilder: Rebuilder, tensor: Any, node: Node, place: str) -> None:
    """Have `fill` copy a "tensor" node into a contiguous one of the same shape and type, on the CPU."""
    target = tensor.reshape(-1).view(sys.modules["torch"].uint8).numpy()
    rebuilder.fill_bytes(target, node.details[-2], place)


def tensor_view(rebuilder: Rebuilder, node: Node, place: str) -> Any:
    """The tensor on the CPU as it lies in the image; a copy where the image cannot be written."""
    torch = sys.modules["torch"]
    dtype, shape = getattr(torch, node.details[0]), node.details[1]
    raw = rebuilder.raw(node, place)
    if len(raw) == 0:
        return torch.empty(shape, dtype=dtype, device="cpu")
    source = np.frombuffer(raw, np.uint8)
    if not source.flags.writeable:
        source = source.copy()
    return torch.from_numpy(source).view(dtype).reshape(shape)


def _jax(rebuilder: Rebuilder, node: Node, place: str) -> Any:
    jax = _loaded("jax", place)
    kind, shape, _, _, _ = node.details
    raw = np.frombuffer(rebuilder.raw(node, place), np.uint8).copy()
    if kind.startswith("key "):
        return jax.random.wrap_key_data(raw.view(np.uint32).reshape(shape), impl=kind.removeprefix("key "))
    return jax.numpy.asarray(raw.view(jax.numpy.dtype(kind)).reshape(shape))


def _loaded(package: str, place: str) -> Any:
    found = sys.modules.get(package)
    if found is None:
        raise DoesNotFit(f"{place}: it was stored by {package}, which is not loaded", hint=f"import {package} first")
    return found


_MAKERS: Final[dict[str, Callable[[Rebuilder, Node, str], Any]]] = {
    "int": lambda _, node, __: int(node.value, 16),
    "text": lambda _, node, __: node.value.decode("utf-8", "surrogatepass"),
    "complex": lambda _, node, __: complex(*node.value),
    "timedelta": lambda _, node, __: datetime.timedelta(*node.value),
    "date": _datetime,
    "time": _datetime,
    "datetime": _datetime,
    "scalar": _scalar,
    "enum": _enum,
    "list": lambda rebuilder, node, place: rebuilder.children(node, place),
    "tuple": lambda rebuilder, node, place: tuple(rebuilder.children(node, place)),
    "set": lambda rebuilder, node, place: set(rebuilder.children(node, place)),
    "frozenset": lambda rebuilder, node, place: frozenset(rebuilder.children(node, place)),
    "deque": _deque,
    "dict": _dict,
    "OrderedDict": _dict,
    "Counter": _dict,
    "defaultdict": _dict,
    "dataclass": _named,
    "namedtuple": _named,
    "array": _array,
    "bytes": lambda rebuilder, node, place: bytes(rebuilder.raw(node, place)),
    "bytearray": lambda rebuilder, node, place: bytearray(rebuilder.raw(node, place)),
    "buffer": _buffer,
    "pyarray": _pyarray,
    "tensor": _tensor,
    "jax": _jax,
    "pickle": lambda rebuilder, node, place: rebuilder.unpickle(node, place),
    "generator": _generator,
    "bitgenerator": _bit_generator,
    "randomstate": _randomstate,
    "random": _random,
    "stateful": lambda rebuilder, node, place: rebuilder.children(node, place)[0],
}
