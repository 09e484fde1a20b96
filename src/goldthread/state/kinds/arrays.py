"""NumPy's arrays of what is no object, the scalars, and the types of both.

An array that looks at the memory of something else in the state (a bytearray, an array of objects) is stored as a look
at that, which follows it as its child. All others have their bytes in the payload; those that overlap are found at the
end of the walk (`memory.py`). What is in a record that was taken out of an array is a view of it, too.
"""

from __future__ import annotations

import array
from typing import Any, Final

import numpy as np

from goldthread.errors import CommitDamaged, DoesNotFit
from goldthread.state.dtypes import PLAIN_DTYPES, dtype_from, dtype_word, is_single, loses_metadata, why_no_word
from goldthread.state.fit import HINT
from goldthread.state.kind import Family, Form, Kind, Store
from goldthread.state.memory import address_of, array_over, bounds, in_order, laid_out, owner_of, part_of, writeable
from goldthread.state.nodes import SAME, Node
from goldthread.state.walk import Refusal, Walk

__all__ = [
    "FAMILY",
    "can_take",
    "describe",
    "is_same_memory",
    "make_look",
    "note_look",
    "plain_of",
    "says_type",
    "store_array",
]

Array = np.ndarray[Any, Any]
_SMALL_BYTES: Final = 256 << 10
"""New arrays below this size are copied at once."""
_GROWS: Final = f"{HINT}: None, where an array grows"
_LENDERS: Final = (bytearray, array.array)
"""What is in a state by itself, and may have arrays that look at its memory."""
_MEMMAP: Final = (
    "a np.memmap comes back as an array in memory, where restore is given none that it can fill: open it again from "
    "its file"
)


def store_array(walk: Walk, thing: Array) -> None:
    """Reached for what the walk does not note by itself: what is a view, or of no plain type."""
    owner = None if thing.base is None else owner_of(thing)
    if thing.nbytes and (isinstance(owner, _LENDERS) or _has_objects(owner)):
        says_type(walk, thing.dtype)
        if walk.enter(thing):
            plain: Any = plain_of(walk, owner) if isinstance(owner, np.ndarray) else owner
            start = address_of(plain if isinstance(owner, np.ndarray) else np.frombuffer(plain, np.uint8))
            note_look(walk, thing, plain, thing.dtype, thing.shape, thing.strides, address_of(thing) - start)
        return
    _note_array(walk, thing, thing)


def _has_objects(owner: object) -> bool:
    return isinstance(owner, np.ndarray) and owner.dtype.hasobject


def _note_array(walk: Walk, thing: Array, plain: Array) -> None:
    says_type(walk, thing.dtype)
    if walk.enter(thing):
        walk.atoms.append("array")
        walk.arrays.append(plain)


def says_type(walk: Walk, dtype: np.dtype[Any]) -> None:
    """Have a type belong to what must not differ from the last commit: `==` does not tell all types apart."""
    if id(dtype) in PLAIN_DTYPES:
        return
    if is_single(dtype):
        walk.keys.append(dtype.char)
        return
    why = why_no_word(dtype)
    if why:
        raise Refusal(f"the dtype {dtype} cannot be stored: {why}", "use one of NumPy's own types")
    if loses_metadata(dtype):
        walk.tell(f"of the metadata of the dtype {dtype} only plain text and numbers can be stored: it is left out")
    walk.keys.append(dtype_word(dtype))


def note_look(walk: Walk, thing: object, owner: Any, dtype: np.dtype[Any], shape: Any, strides: Any, at: int) -> None:
    """A look at the memory of `owner`, from `at` on."""
    is_read_only = not thing.flags.writeable  # type: ignore[attr-defined]
    walk.atoms.append(("look", dtype_word(dtype), list(shape), list(strides), at, is_read_only, 1))
    walk.visit(thing, [""], [owner], str)


def plain_of(walk: Walk, owner: Array) -> Array:
    """The plain array that is the memory of a subclass's: the same one for all that look at it."""
    if type(owner) is np.ndarray:
        return owner
    if id(owner) not in walk.plains:
        walk.plains[id(owner)] = np.ndarray.view(owner, np.ndarray)
    return walk.plains[id(owner)]


def _memmap(walk: Walk, thing: Array) -> None:
    walk.tell(_MEMMAP)
    _note_array(walk, thing, np.asarray(thing))


def _scalar(walk: Walk, thing: np.generic) -> None:
    says_type(walk, thing.dtype)
    walk.note(("scalar", dtype_word(thing.dtype)), thing.tobytes())


def _void(walk: Walk, thing: np.void) -> None:
    """Some bytes, or a record: an array without dimensions, of which it is the only element."""
    if not walk.enter(thing):
        return
    walk.atoms.append(("void", 1))
    dtype = thing.dtype
    base: Any = thing.base
    if base is None or thing.nbytes == 0:
        walk.visit(thing, [""], [walk.made(np.array(thing, dtype))], str)
        return
    start = address_of(thing)
    if dtype.hasobject:
        says_type(walk, dtype)
        owner = plain_of(walk, owner_of(base))  # type: ignore[arg-type]
        walk.seen[-1 - len(walk.seen)] = len(walk.seen)
        note_look(walk, thing, owner, dtype, (), (), start - address_of(owner))
        return
    part = part_of(base, start, thing.nbytes, is_writeable=bool(thing.flags.writeable))
    walk.visit(thing, [""], [walk.made(part.view(dtype).reshape(()))], str)


def _datatype(walk: Walk, thing: np.dtype[Any]) -> None:
    if is_single(thing):
        walk.note("dtype", dtype_word(thing))
    elif walk.enter(thing):
        says_type(walk, thing)
        walk.note("datatype", dtype_word(thing))


def _claim(cls: type) -> Store | None:
    if issubclass(cls, np.dtype):
        return _datatype
    if issubclass(cls, np.void) and cls.__module__.partition(".")[0] == "numpy":
        return _void
    return _scalar if issubclass(cls, np.generic) and cls.__module__ == "numpy" else None


# Anew.


def _make_array(rebuilder: Any, node: Node, place: object) -> Array:
    made = _make_elements(rebuilder, node, place)
    if node.is_read_only:
        made.flags.writeable = False
    return made


def _make_elements(rebuilder: Any, node: Node, place: object) -> Array:
    if node.strides is not None:
        memory, start = rebuilder.memory(node.details[3], place)
        dtype, shape = dtype_from(node.details[0]), node.details[1]
        return array_over(memory, start, dtype, shape, strides=node.strides)
    view: Array = rebuilder.view(node)
    if view.nbytes == 0:
        return laid_out(view.shape, view.dtype, node.details[2])
    if node.steps is not None:
        made = _with_gaps(view, node.steps)
    elif rebuilder.map:
        return view
    else:
        made = np.empty_like(view, order="K")
    if view.nbytes < _SMALL_BYTES and view.dtype.names is None:
        rebuilder.verify(node.details[3], view.nbytes, place)
        np.copyto(made, view)
    else:  # As bytes: a copy of records would leave out what lies between their fields.
        rebuilder.fill_array(made[...], node, place, anew=True)
    return made


def _with_gaps(view: Array, steps: list[int]) -> Array:
    """A new array whose elements have as much between them as they had."""
    reaches = [(length - 1) * step for length, step in zip(view.shape, steps, strict=True)]
    below = -sum(reach for reach in reaches if reach < 0)
    above = sum(reach for reach in reaches if reach > 0)
    memory = np.empty(below + above + view.itemsize, np.uint8)
    return array_over(memory, below, view.dtype, view.shape, strides=steps)


def make_look(rebuilder: Any, node: Node, place: object) -> Array:
    word, shape, strides, at, is_read_only = node.details
    owner = rebuilder.children(node, place)[0]
    rebuilder.fill_anew()
    made = _look_at(owner, word, shape, strides, at)
    if is_read_only:
        made.flags.writeable = False
    return made


def _look_at(owner: Any, word: Any, shape: Any, strides: Any, at: int) -> Array:
    dtype = dtype_from(word)
    if not isinstance(owner, np.ndarray) or not owner.dtype.hasobject:
        return array_over(owner, at, dtype, shape, strides=strides)
    if owner.dtype.char == "T":  # It is the type that knows where long texts are.
        if dtype_word(owner.dtype) != word:
            raise CommitDamaged("a view in a commit is of another type than the texts that it is a view of")
        dtype = owner.dtype
    was_writeable = owner.flags.writeable
    if not was_writeable:
        owner.flags.writeable = True
    try:
        if not _meets_objects_as_such(owner.dtype, dtype, shape, strides, at):
            raise ValueError("it takes objects for something else")
        return np.ndarray(shape, dtype, in_order(owner), at, strides)
    except (TypeError, ValueError, IndexError) as error:
        raise CommitDamaged(f"a view in a commit does not suit what it is a view of: {error}") from error
    finally:
        if not was_writeable:
            owner.flags.writeable = False


def _meets_objects_as_such(owner: np.dtype[Any], dtype: np.dtype[Any], shape: Any, strides: Any, at: int) -> bool:
    """Whether a view into memory with objects has objects where they are, and nowhere else."""
    size = owner.itemsize
    starts = {at % size}
    for length, stride in zip(shape, strides, strict=True):
        steps = {step * stride % size for step in range(min(length, size))}
        starts = {(start + step) % size for start in starts for step in steps}
    wanted, there = _marks(dtype), _marks(owner)
    return all(np.array_equal(np.roll(there, -start)[: len(wanted)], wanted) for start in starts) and (
        len(wanted) <= size
    )


def _marks(dtype: np.dtype[Any]) -> Array:
    """Of each byte of an element what it belongs to: 0 for plain ones, else which byte of a reference it is."""
    if dtype.subdtype is not None:
        part, shape = dtype.subdtype
        return np.tile(_marks(part), int(np.prod(shape)))
    marks = np.zeros(dtype.itemsize, np.uint8)
    if dtype.fields is not None:
        for part, offset, *_ in dtype.fields.values():
            marks[offset : offset + part.itemsize] |= _marks(part)
    elif dtype.hasobject:
        marks[:] = np.arange(1, dtype.itemsize + 1) + (100 if dtype.char == "T" else 0)
    return marks


def _make_scalar(rebuilder: Any, node: Node, place: object) -> Any:
    dtype = dtype_from(node.details[0])
    if dtype.itemsize == 0:
        return np.void(b"") if dtype.char == "V" else dtype.type()
    if dtype.kind == "S":  # An array would take the zeros at the end for filling.
        return dtype.type(node.value)
    if dtype.kind == "U":
        return dtype.type(node.value.decode("utf-32-le" if dtype.str[0] != ">" else "utf-32-be", "surrogatepass"))
    return array_over(bytearray(node.value), 0, dtype, ())[()]


def _make_void(rebuilder: Any, node: Node, place: object) -> Any:
    made = rebuilder.children(node, place)[0]
    if made.dtype.names is None:  # It is taken out as a copy.
        rebuilder.fill_anew()
    return made[()]


# Poured.


def _fit_array(fitter: Any, node: Node, current: Array, place: object) -> Any:
    stored = fitter.rebuilder.view(node)
    if current.size == 0 and stored.size != 0:
        return fitter.make(node, place)
    _refuse_other(stored.dtype, stored.shape, current, place)
    is_other = not isinstance(current, np.ndarray)  # One of JAX, before the program turned it into this.
    if is_other or dtype_word(current.dtype) != node.details[0] or isinstance(owner_of(current), _LENDERS):
        return fitter.make(node, place)
    target = writeable(current) if node.is_read_only or current.flags.writeable else None
    if fitter.rebuilder.map or target is None or not fitter.take(current, node, node.details[3]):
        return fitter.make(node, place)
    fitter.rebuilder.fill_array(target, node, place)
    if node.is_read_only and current.flags.writeable:
        fitter.noted.append(lambda: setattr(current.flags, "writeable", False))
    return current


def _refuse_other(dtype: np.dtype[Any], shape: tuple[int, ...], current: Array, place: object) -> None:
    if current.shape != shape or current.dtype != dtype:
        raise DoesNotFit(
            f"{place}: the commit has an array of {describe(dtype, shape)}, "
            f"the program one of {describe(current.dtype, current.shape)}",
            hint=_GROWS,
        )


def _fit_look(fitter: Any, node: Node, current: Array, place: object) -> Any:
    """An array of the program stays, where what it looks at does and it looks at the same part."""
    word, shape, strides, at, is_read_only = node.details
    owner, dtype = owner_of(current), dtype_from(word)
    if current.size and not dtype.hasobject:
        _refuse_other(dtype, tuple(shape), current, place)
    child = node.expand()[0]
    mine: Any = np.ndarray.view(owner, np.ndarray) if isinstance(owner, np.ndarray) else owner
    if owner is current or dtype_word(current.dtype) != word or not can_take(fitter, child, mine):
        return fitter.make(node, place)
    poured = fitter.fit(child, mine, place)
    is_alike = list(current.shape) == shape and list(current.strides) == strides
    if not is_alike or is_read_only == current.flags.writeable or not is_same_memory(poured, mine):
        return fitter.make(node, place)
    start = address_of(mine if isinstance(mine, np.ndarray) else np.frombuffer(mine, np.uint8))
    return current if address_of(current) - start == at else fitter.make(node, place)


def can_take(fitter: Any, child: Node, mine: object) -> bool:
    """Whether something of the program may be given to `fit` for a node, which would refuse what is of another kind."""
    kind = fitter.registry.kind_of(mine)
    return child.kind is SAME or (
        kind is not None and (kind is child.kind or bool(kind.group and kind.group == child.kind.group))
    )


def is_same_memory(one: Any, other: Any) -> bool:
    """Whether two things are one, or plain arrays of one whole memory."""
    if one is other:
        return True
    if not isinstance(one, np.ndarray) or not isinstance(other, np.ndarray):
        return False
    return owner_of(one) is owner_of(other) and bounds(one) == bounds(other)


def describe(dtype: object, shape: tuple[int, ...]) -> str:
    return f"{dtype} {shape}"


def _make_dtype(rebuilder: Any, node: Node, place: object) -> Any:
    return dtype_from(node.value)


FAMILY: Final = Family(
    kinds=(
        Kind(
            "array",
            Form.BUFFER,
            _make_array,
            suits=lambda thing: type(thing) in (np.ndarray, np.memmap),
            fit=_fit_array,
            group="array",
            carries=True,
        ),
        Kind("look", Form.CONTAINER, make_look, fit=_fit_look, group="array"),
        Kind("scalar", Form.VALUE, _make_scalar, is_shared=False),
        Kind("void", Form.CONTAINER, _make_void),
        Kind("dtype", Form.VALUE, _make_dtype, is_shared=False),
        Kind("datatype", Form.VALUE, _make_dtype),
    ),
    stores={np.memmap: _memmap},
    claim=_claim,
)
