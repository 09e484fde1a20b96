"""Containers of Python: lists, tuples, dicts, sets, deques, named tuples."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from itertools import chain, count
from typing import Any, Final

from goldthread.errors import DoesNotFit
from goldthread.state.classes import class_path
from goldthread.state.fit import HINT
from goldthread.state.hashes import equals_itself_only
from goldthread.state.kind import Family, Form, Kind, Store
from goldthread.state.kinds.names import find, refuse_unless_found
from goldthread.state.kinds.sets import KINDS as SETS
from goldthread.state.kinds.sets import STORES as SET_STORES
from goldthread.state.kinds.sets import refuse_open
from goldthread.state.nodes import Node, Place
from goldthread.state.plain import BLOCK_LEAST, INT_LEAST, INT_MOST, PLAIN, TINY_BYTES, can_encode
from goldthread.state.walk import HASHED, Refusal, Walk, as_attribute, in_brackets

__all__ = ["DICTS", "FAMILY", "fit_dict", "store_deque", "store_dict", "store_list", "store_tuple"]

_FACTORIES: Final = {
    f"{factory.__module__}.{factory.__qualname__}": factory
    for factory in (bool, bytes, complex, dict, float, int, list, set, str, tuple)
}
"""Factories of version 0.1, by the name that they had there."""
_EMPTY: Final = ()


def store_list(walk: Walk, thing: list[object]) -> None:
    if walk.enter(thing):
        walk.inside(thing, ("list",), count(), thing, in_brackets)


def store_tuple(walk: Walk, thing: tuple[object, ...]) -> None:
    if not thing:  # There is only one, and it is shared by all.
        walk.seen[-1 - len(walk.seen)] = len(walk.seen)
        walk.note(("tuple", "values"), [])
    elif walk.enter(thing):
        walk.inside(thing, ("tuple",), range(len(thing)), thing, in_brackets)


def store_dict(walk: Walk, thing: dict[Any, object]) -> None:
    """A dict of exactly one of the known types."""
    if walk.enter(thing):
        kind = type(thing)
        if kind in _TAKE_ATTRIBUTES and vars(thing):
            _attributed(walk, thing)
            return
        contents: Any = dict.copy(thing) if kind is not OrderedDict else dict(OrderedDict.items(thing))  # type: ignore[arg-type]
        if kind is defaultdict:
            _defaultdict(walk, thing, contents)
        else:
            note_dict(walk, thing, (kind.__name__,), contents)


def note_dict(walk: Walk, thing: object, atom: tuple[Any, ...], contents: dict[Any, Any]) -> None:
    keys = list(contents)
    kinds = set(map(type, keys))
    if walk.careful and not can_encode(keys):
        kinds.add(object)
    if kinds <= _TEXT:
        walk.inside(thing, (*atom, keys), keys, contents.values(), in_brackets)
    elif kinds <= _PLAIN_KEYS and all(map(_is_plain_key, keys)):
        walk.keys.append(list(map(type, keys)) if float not in kinds else repr(keys))
        walk.inside(thing, (*atom, keys), keys, contents.values(), in_brackets)
    elif kinds == _TUPLES and len(keys) >= BLOCK_LEAST and (plain := _plain_pairs(walk, keys, contents)) is not None:
        walk.atoms.append(("mapping", *atom, 2))
        walk.visit(thing, [None, None], plain, _piece)
    else:
        walk.atoms.append((*atom, None, 2 * len(keys)))
        refuse_open(walk, keys, "a key")
        walk.visit(thing, keys, keys, in_brackets, whole=HASHED)
        walk.visit(thing, keys, contents.values(), in_brackets)


def _plain_pairs(walk: Walk, keys: list[Any], contents: dict[Any, Any]) -> list[list[Any]] | None:
    """Keys that are tuples, and plain values, as two lists, which are noted at once; None where one is not plain."""
    if not set(map(type, chain.from_iterable(keys))) <= PLAIN or not set(map(type, contents.values())) <= PLAIN:
        return None
    pairs: list[list[Any]] = walk.made([keys, list(contents.values())])
    return pairs


def _block(walk: Walk, cls: type, things: list[Any]) -> tuple[tuple[Any, ...], list[Any]] | None:
    """Many tuples: msgpack gives lists, which are made tuples again."""
    return (("tuple",), list(map(list, things))) if cls is tuple else None


_TAKE_ATTRIBUTES: Final = (OrderedDict, Counter)
_TEXT: Final = frozenset({str})
_TUPLES: Final = frozenset({tuple})
_PLAIN_KEYS: Final = frozenset({str, int, bool, float, bytes, type(None)})
"""Not tuples: one that is a key may stand somewhere else, too."""


def _is_plain_key(key: Any) -> bool:
    kind = type(key)
    if kind is int:
        return bool(INT_LEAST <= key <= INT_MOST)
    return kind is not bytes or len(key) < TINY_BYTES


def _defaultdict(walk: Walk, thing: Any, contents: dict[Any, Any]) -> None:
    factory = thing.default_factory
    walk.atoms.append(("factory_dict", 2))
    walk.visit(thing, [".default_factory", None], [factory, walk.made(contents)], _piece)


def _attributed(walk: Walk, thing: Any) -> None:
    """Other than a dict it takes attributes; what torch's modules say of themselves has some."""
    walk.atoms.append(("attributed", [None, None], 2))
    plain = OrderedDict(OrderedDict.items(thing)) if type(thing) is OrderedDict else Counter(dict(dict.items(thing)))
    walk.made(plain)
    walk.visit(thing, [None, None], [plain, walk.made(dict(vars(thing)))], _piece)


def _piece(name: object) -> str:
    return "" if name is None else str(name)


def store_deque(walk: Walk, thing: deque[object]) -> None:
    if walk.enter(thing):
        items = list(deque.__iter__(thing))
        walk.inside(thing, ("deque", thing.maxlen), range(len(items)), items, in_brackets)


def _namedtuple(walk: Walk, thing: Any) -> None:
    refuse_unless_found(walk, type(thing))
    if walk.enter(thing):
        names = list(type(thing)._fields)
        items = tuple.__getitem__(thing, slice(None))
        if len(items) != len(names):
            raise Refusal(
                f"{type(thing).__qualname__} has {len(names)} fields, and this one {len(items)} items",
                "make it by its class",
            )
        walk.inside(thing, ("namedtuple", class_path(type(thing)), names), names, items, as_attribute)


def _claim(cls: type) -> Store | None:
    fields = getattr(cls, "_fields", None)
    is_one = issubclass(cls, tuple) and isinstance(fields, tuple) and set(map(type, fields)) <= _TEXT
    is_whole = is_one and hasattr(cls, "_make") and isinstance(getattr(cls, "_field_defaults", None), dict)
    return _namedtuple if is_whole and cls.__dictoffset__ == 0 else None


# Anew.


def _make_list(rebuilder: Any, node: Node, place: object) -> Any:
    made: list[Any] = rebuilder.note(node, [])
    made.extend(rebuilder.children(node, place))
    return made


def _make_dict(rebuilder: Any, node: Node, place: object) -> Any:
    made = rebuilder.note(node, empty_dict(node))
    children = rebuilder.children(node, place)
    keys = node.keys
    if keys is None:
        half = len(children) // 2
        keys, children = children[:half], children[half:]
    if node.kind.name == "dict":
        made.update(zip(keys, children, strict=True))
    else:
        _put_in(made, keys, children)
    return made


def empty_dict(node: Node) -> Any:
    if node.kind.name == "defaultdict":
        name = node.details[0]
        return defaultdict(None if name is None else _FACTORIES[name])
    return _KINDS_OF_DICT[node.kind.name]()


_KINDS_OF_DICT: Final[dict[str, Callable[[], Any]]] = {"dict": dict, "OrderedDict": OrderedDict, "Counter": Counter}


def _make_factory_dict(rebuilder: Any, node: Node, place: object) -> Any:
    factory, contents = node.expand()
    made: Any = rebuilder.note(node, defaultdict(None))
    made.default_factory = rebuilder.make(factory, Place(place, node, 0))
    made.update(rebuilder.make(contents, place))
    return made


def _make_attributed(rebuilder: Any, node: Node, place: object) -> Any:
    contents, attributes = node.expand()
    made: Any = rebuilder.note(node, OrderedDict())
    for key, value in rebuilder.make(contents, place).items():
        made[key] = value
    vars(made).update(rebuilder.make(attributes, place))
    return made


def _make_mapping(rebuilder: Any, node: Node, place: object) -> Any:
    made = rebuilder.note(node, _KINDS_OF_DICT[node.details[0]]())
    keys, values = rebuilder.children(node, place)
    made.update(zip(keys, values, strict=True)) if type(made) is dict else _put_in(made, keys, values)
    return made


def _put_in(made: Any, keys: list[Any], values: list[Any]) -> None:
    for key, value in zip(keys, values, strict=True):
        made[key] = value


def _make_deque(rebuilder: Any, node: Node, place: object) -> Any:
    made = rebuilder.note(node, deque(maxlen=node.details[0]))
    made.extend(rebuilder.children(node, place))
    return made


def _make_tuple(rebuilder: Any, node: Node, place: object) -> Any:
    return tuple(rebuilder.children(node, place))


def _make_named(rebuilder: Any, node: Node, place: object) -> Any:
    kind = find(rebuilder, node.details[0], place, tuple)
    if not hasattr(kind, "_fields"):
        raise DoesNotFit(f"{place}: {kind.__qualname__} is no named tuple now")
    return build_named(kind, node.keys, rebuilder.children(node, place))


def build_named(kind: Any, names: list[str], values: list[Any]) -> Any:
    """A named tuple of these fields. A field that the commit does not know has its default."""
    given = {**kind._field_defaults, **dict(zip(names, values, strict=True))}
    return tuple.__new__(kind, [given.get(name) for name in kind._fields])


# Poured.


def fit_dict(fitter: Any, node: Node, current: dict[Any, Any], place: object) -> Any:
    """A plain dict takes no other kind of dict; what the program has instead of a plain one stays."""
    if type(current) is dict and node.kind.name in ("OrderedDict", "Counter", "defaultdict"):
        return fitter.make(node, place)
    fitter.begin(node, current)
    keys, present = _fit_keys(fitter, node, dict(current), place)
    contents = fitter.fields(node, keys, present, place, takes_all=True)

    def finish() -> None:
        dict.clear(current) if type(current) is not OrderedDict else current.clear()
        for key, value in contents.items():
            current[key] = value

    fitter.noted.append(finish)
    return current


def _fit_keys(fitter: Any, node: Node, current: dict[Any, Any], place: object) -> tuple[list[Any], dict[Any, Any]]:
    """The keys of the commit, and what the program has under them.

    A key that equals nothing but itself (an object, NaN) is the program's own where that took it at another place; of
    the others nobody knows which is which, so for each that the commit has one of the program goes.
    """
    keys = fitter.rebuilder.keys(node, place)
    own = [key for key in current if equals_itself_only(key)]
    if not own:
        return keys, current
    taken = set(map(id, keys))
    left = [key for key in own if id(key) not in taken]
    gone: set[int] = set()
    for key in keys:
        if key not in current and equals_itself_only(key):
            partner = next((one for one in left if type(one) is type(key) and id(one) not in gone), None)
            if partner is not None:
                gone.add(id(partner))
    return keys, {key: value for key, value in current.items() if id(key) not in gone}


def _fit_mapping(fitter: Any, node: Node, current: dict[Any, Any], place: object) -> Any:
    """As a dict with those keys."""
    keys, values = node.expand()
    if type(current) is dict and node.details[0] != "dict":
        return fitter.make(node, place)
    as_dict = Node(node.kind)
    as_dict.keys, as_dict.children = fitter.make(keys, place), values.expand()
    fitter.begin(node, current)
    return fit_dict(fitter, as_dict, current, place)


def _fit_factory_dict(fitter: Any, node: Node, current: Any, place: object) -> Any:
    factory, contents = node.expand()
    if type(current) is not defaultdict:
        return fitter.make(node, place)
    fitter.begin(node, current)
    fit_dict(fitter, contents, current, place)
    made = fitter.make(factory, place)
    fitter.noted.append(lambda: setattr(current, "default_factory", made))
    return current


def _fit_attributed(fitter: Any, node: Node, current: Any, place: object) -> Any:
    contents, attributes = node.expand()
    if type(current).__name__ != contents.kind.name:
        return fitter.make(node, place)
    fitter.begin(node, current)
    fit_dict(fitter, contents, current, place)
    made = fitter.make(attributes, place)

    def finish() -> None:
        vars(current).clear()
        vars(current).update(made)

    fitter.noted.append(finish)
    return current


def _fit_list(fitter: Any, node: Node, current: list[Any], place: object) -> Any:
    fitter.begin(node, current)
    items = fitter.items(node, current, place)
    fitter.noted.append(lambda: current.__setitem__(slice(None), items))
    return current


def _fit_tuple(fitter: Any, node: Node, current: tuple[Any, ...], place: object) -> Any:
    return fitter.rebuilder.note(node, tuple(fitter.items(node, current, place)))


def _fit_deque(fitter: Any, node: Node, current: deque[Any], place: object) -> Any:
    if current.maxlen != node.details[0]:
        return fitter.make(node, place)
    fitter.begin(node, current)
    items = fitter.items(node, current, place)

    def finish() -> None:
        current.clear()
        current.extend(items)

    fitter.noted.append(finish)
    return current


def _fit_named(fitter: Any, node: Node, current: Any, place: object) -> Any:
    """Its class is the program's, if the name is the same."""
    kind, stored = type(current), node.details[0].partition(":")[2]
    if stored != kind.__qualname__:
        raise DoesNotFit(f"{place}: the commit has a {stored}, the program a {kind.__qualname__}", hint=HINT)
    contents = fitter.fields(
        node, node.keys, dict(zip(kind._fields, tuple.__iter__(current), strict=True)), place, takes_all=False
    )
    return fitter.rebuilder.note(node, build_named(kind, list(contents), list(contents.values())))


DICTS: Final = ("dict", "OrderedDict", "Counter", "defaultdict")


def _exactly(kind: type) -> Callable[[Any], bool]:
    return lambda thing: type(thing) is kind


FAMILY: Final = Family(
    kinds=(
        Kind("list", Form.CONTAINER, _make_list, suits=_exactly(list), fit=_fit_list),
        Kind(
            "tuple", Form.CONTAINER, _make_tuple, make_many=lambda _, block, __: list(map(tuple, block.items)),
            suits=_exactly(tuple), fit=_fit_tuple,
        ),
        Kind("mapping", Form.CONTAINER, _make_mapping, fit=_fit_mapping, group="dict"),
        Kind(
            "dict", Form.KEYED, _make_dict, suits=_exactly(dict), fit=fit_dict, group="dict",
        ),
        Kind("OrderedDict", Form.KEYED, _make_dict, suits=_exactly(OrderedDict), fit=fit_dict, group="dict"),
        Kind("Counter", Form.KEYED, _make_dict, suits=_exactly(Counter), fit=fit_dict, group="dict"),
        Kind("defaultdict", Form.KEYED, _make_dict, fit=fit_dict, group="dict"),
        Kind(
            "factory_dict", Form.CONTAINER, _make_factory_dict, suits=_exactly(defaultdict), fit=_fit_factory_dict,
            group="dict",
        ),
        Kind("attributed", Form.KEYED, _make_attributed, fit=_fit_attributed, group="dict", attributes=True),
        Kind("deque", Form.CONTAINER, _make_deque, suits=_exactly(deque), fit=_fit_deque),
        Kind(
            "namedtuple", Form.KEYED, _make_named, suits=lambda thing: _claim(type(thing)) is not None, fit=_fit_named,
            attributes=True,
        ),
        *SETS,
    ),
    stores={
        list: store_list,
        tuple: store_tuple,
        dict: store_dict,
        OrderedDict: store_dict,
        Counter: store_dict,
        defaultdict: store_dict,
        deque: store_deque,
        **SET_STORES,
    },
    claim=_claim,
    block=_block,
)  # fmt: skip
