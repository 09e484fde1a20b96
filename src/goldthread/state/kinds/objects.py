"""Objects: stored by their attributes, without pickle and without running their code.

An object is its `__dict__`, the `__slots__` of all its bases, and, where it derives from a builtin container or value,
the items of that. It is made by `__new__` of that builtin base and its attributes are set past `__setattr__` and
`__init__`. What cannot be had this way is refused: a class with memory of its own (written in C), one that runs code
when it dies or is read, one whose name does not lead to it.

An object may contain itself by way of its attributes, always: it is there before they are. A `__dict__` that stands in
the state besides, or is that of two objects, comes back so: it is the "__dict__" of an object, or its "own_dict".

What the class itself says of its state (`__getstate__`, `__reduce_ex__`) is used only where it is registered
(`reduced.py`) or pickle is allowed.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from goldthread.errors import DoesNotFit
from goldthread.state.classes import class_path
from goldthread.state.fit import HINT
from goldthread.state.kind import Family, Form, Kind, Store
from goldthread.state.kinds.bases import Base
from goldthread.state.kinds.names import find, refuse_unless_found
from goldthread.state.kinds.pickles import customises, store_pickle
from goldthread.state.kinds.plans import REGISTER, Plan, contents_of, plan_of, slots_of
from goldthread.state.nodes import Block, Node, Place
from goldthread.state.plain import can_encode
from goldthread.state.walk import Refusal, Walk, as_attribute

__all__ = ["FAMILY", "Plan", "contents_of", "plan_of", "store_object"]


def store_object(walk: Walk, thing: Any) -> None:
    cls = type(thing)
    plan = plan_of(cls)
    if walk.pickle and (plan.refusal is not None or customises(cls)):
        store_pickle(walk, thing)
        return
    if plan.refusal is not None:
        raise Refusal(f"{cls.__qualname__} cannot be stored: it {_said(plan, cls)}", plan.refusal[1])
    try:
        refuse_unless_found(walk, cls)
    except Refusal:
        if walk.pickle:
            store_pickle(walk, thing)
            return
        raise
    if not walk.enter(thing):
        return
    contents = _stored_contents(walk, plan, thing)
    names: list[Any] = list(contents)
    if plan.base is None or plan.base.take is None:
        atom = ("object", class_path(cls), plan.fields, names)
        walk.inside(thing, atom, names, contents.values(), as_attribute)
        return
    if plan.base.tell is not None and (lost := plan.base.tell(thing)) is not None:
        walk.tell(lost)
    walk.atoms.append(("object", class_path(cls), plan.fields, [None, *names], len(names) + 1))
    items = walk.made(plan.base.take(thing))
    walk.visit(thing, [None], [items], as_attribute, whole=plan.base.is_strict)
    walk.visit(thing, names, contents.values(), as_attribute)


def _said(plan: Plan, cls: type) -> str:
    return plan.refusal[0].removeprefix(f"{cls.__name__} ") if plan.refusal is not None else ""


def _stored_contents(walk: Walk, plan: Plan, thing: Any) -> dict[str, Any]:
    """The attributes as they are stored: a `__dict__` that was met before as it is."""
    if plan.attributes is None:
        return slots_of(plan, thing)
    own = plan.attributes.__get__(thing)
    contents = slots_of(plan, thing)
    if id(own) in walk.seen or walk.owner_of(own) is not None:
        if isinstance(plan.attributes, types.MemberDescriptorType):
            raise Refusal("its __dict__ stands before it in the state", "put the object first, or a copy of the dict")
        contents["__dict__"] = own
        return contents
    if type(own) is not dict:
        raise Refusal(f"its __dict__ is a {type(own).__qualname__}", REGISTER.format(type(thing).__qualname__))
    walk.owned[id(own)] = thing
    attributes = dict.copy(own)
    if not set(map(type, attributes)) <= {str} or (walk.careful and not can_encode(list(attributes))):
        raise Refusal("it has an attribute whose name is no text", "give it a name that can be written")
    if "__dict__" in attributes or not plan.slots.keys().isdisjoint(attributes):
        raise Refusal("two of its attributes have one name, in a slot and in its __dict__", "take one of them out")
    contents.update(attributes)
    return contents


def _block(walk: Walk, cls: type, things: list[Any]) -> tuple[tuple[Any, ...], list[dict[str, Any]]] | None:
    """Many objects of one class that have nothing but a `__dict__`."""
    if walk.registry.stores.get(cls) is not store_object:
        return None
    plan = plan_of(cls)
    if plan.refusal or plan.base or plan.slots or plan.attributes is None or (walk.pickle and customises(cls)):
        return None
    refuse_unless_found(walk, cls)
    take: Any = plan.attributes.__get__
    return ("object", class_path(cls), plan.fields), list(map(take, things))


# Anew.


def _make_object(rebuilder: Any, node: Node, place: object) -> Any:
    cls = find(rebuilder, node.details[0], place)
    plan = _plan_for_restore(cls, place)
    children = list(zip(node.keys, node.expand(), strict=True))
    has_items = bool(children) and children[0][0] is None
    if has_items != plan.has_items:
        raise DoesNotFit(f"{place}: {cls.__qualname__} derives from another builtin now", hint=HINT)
    if plan.base is None or not has_items:
        made = rebuilder.note(node, plan.new(cls))
    else:
        made = _make_with_items(rebuilder, plan.base, cls, node, place)
    contents = {
        name: rebuilder.make(child, Place(place, node, name)) if type(child) is Node else child
        for name, child in children[has_items:]
    }
    _set_attributes(plan, made, _with_fields(rebuilder, plan, cls, node.details[1], contents, place), place)
    return made


def _make_with_items(rebuilder: Any, base: Base, cls: Any, node: Node, place: object) -> Any:
    child = node.expand()[0]
    if base.is_whole:
        items = rebuilder.make(child, place)
        made = rebuilder.note(node, base.new(cls, items))
    else:
        made = rebuilder.note(node, base.new(cls, None))
        items = rebuilder.make(child, place)
    if base.fill is not None:
        base.fill(made, items)
    return made


def _with_fields(
    rebuilder: Any, plan: Plan, cls: Any, stored: list[str] | None, contents: dict[str, Any], place: object
) -> dict[str, Any]:
    """The attributes, as a dataclass has its fields now: what it lost is left out and said, what it gained has its
    default."""
    if plan.fields == stored or plan.fields is None or stored is None:
        return contents
    for name in set(stored) - set(plan.fields):
        if name in contents:
            rebuilder.lost.append(f"{place}.{name}")
            del contents[name]
    for one in dataclasses.fields(cls):
        if one.name in stored or one.name in contents or not one.init:
            continue
        if one.default_factory is not dataclasses.MISSING:
            contents[one.name] = one.default_factory()
        elif one.default is not dataclasses.MISSING:
            contents[one.name] = one.default
        else:
            raise DoesNotFit(
                f"{place}: {cls.__qualname__} has a field {one.name} now, which the commit does not know",
                hint=f"give the field {one.name} a default, or give restore what fits",
            )
    return contents


def _make_objects(rebuilder: Any, block: Block, place: object) -> list[Any]:
    cls = find(rebuilder, block.details[0], place)
    plan = _plan_for_restore(cls, place)
    new = object.__new__
    if plan.base is not None or plan.slots or plan.attributes is None or plan.fields != block.details[1]:
        return [rebuilder.make(node, place) for node in block.nodes]
    made = [new(cls) for _ in block.items]
    take: Any = plan.attributes.__get__
    for attributes, contents in zip(map(take, made), block.items, strict=True):
        attributes.update(contents)
    return made


def _make_own_dict(rebuilder: Any, node: Node, place: object) -> Any:
    owner = rebuilder.children(node, place)[0]
    plan = plan_of(type(owner))
    if plan.attributes is None:
        raise DoesNotFit(f"{place}: {type(owner).__qualname__} has no __dict__ any more", hint=HINT)
    return plan.attributes.__get__(owner)


def _plan_for_restore(cls: Any, place: object) -> Plan:
    plan = plan_of(cls)
    if plan.refusal is not None:
        raise DoesNotFit(f"{place}: {plan.refusal[0]}, and is not made from a commit", hint=plan.refusal[1])
    return plan


def _set_attributes(plan: Plan, made: Any, contents: dict[str, Any], place: object) -> None:
    """Its attributes are these and no others."""
    if type(contents.get("__dict__")) is dict and plan.attributes is not None:
        plan.attributes.__set__(made, contents.pop("__dict__"))
    elif plan.attributes is not None:
        plan.attributes.__get__(made).clear()
        if not plan.slots:
            plan.attributes.__get__(made).update(contents)
            return
    for name, slot in plan.slots.items():
        if name not in contents:
            with suppress(AttributeError):
                slot.__delete__(made)
    for name, value in contents.items():
        if name in plan.slots:
            plan.slots[name].__set__(made, value)
        elif plan.attributes is not None:
            plan.attributes.__get__(made)[name] = value
        else:
            raise DoesNotFit(f"{place}: {type(made).__qualname__} has no place for {name} any more", hint=HINT)


# Poured.


def _fit_object(fitter: Any, node: Node, current: Any, place: object) -> Any:
    """Its class is the program's, if the name is the same. What can be changed stays the program's own object; a
    frozen one is made anew, around what can."""
    cls, stored = type(current), node.details[0].partition(":")[2]
    if stored != cls.__qualname__:
        raise DoesNotFit(f"{place}: the commit has a {stored}, the program a {cls.__qualname__}", hint=HINT)
    plan = plan_of(cls)
    base = plan.base
    has_items = bool(node.keys) and node.keys[0] is None
    if has_items != plan.has_items or "__dict__" in node.keys:
        return fitter.make(node, place)
    if base is not None and (base.is_whole or not base.pours):
        return fitter.make(node, place)
    target = plan.new(cls) if _is_frozen(cls) and not has_items else current
    fitter.begin(node, target)
    items = _fit_items(fitter, base, node.expand()[0], current, place) if base is not None and has_items else None
    present = contents_of(plan, current)
    contents = fitter.attributes(node, _room(plan, node), present, place)

    def finish() -> None:
        if base is not None:
            base.refill(target, items)
        _set_attributes(plan, target, contents, place)

    if target is current:
        fitter.noted.append(finish)
    else:
        finish()
    return target


def _fit_items(fitter: Any, base: Base, child: Any, current: Any, place: object) -> Any:
    if base.sorts and base.take is not None:
        return fitter.fit(child, base.take(current), place)
    return fitter.make(child, place)


def _is_frozen(cls: Any) -> bool:
    params = getattr(cls, "__dataclass_params__", None)
    return params is not None and bool(params.frozen)


def _room(plan: Plan, node: Node) -> Callable[[str], bool]:
    """Whether objects have a place for an attribute: a field that the class lost has none."""
    lost = set(node.details[1] or ()) - set(plan.fields or ())
    return lambda name: name in plan.slots or (plan.attributes is not None and name not in lost)


_VALUES: Final = frozenset(f"{__package__}.{name}" for name in ("standard", "values", "zones"))
"""Where things are stored that are values, though they have attributes: a path, a fraction, a member of an enum."""


def _suits(thing: Any) -> bool:
    """Whether something can be poured into it: numbers, texts and other values are replaced, whatever comes."""
    from goldthread.state.kinds.registry import REGISTRY

    cls = type(thing)
    plan = plan_of(cls)
    store = REGISTRY.stores.get(cls) or REGISTRY.claim(cls)
    is_value = store.__module__ in _VALUES or (plan.base is not None and plan.base.is_whole)
    return plan.refusal is None and not is_value


def _claim(cls: type) -> Store | None:
    return store_object


FAMILY: Final = Family(
    kinds=(
        Kind(
            "object",
            Form.KEYED,
            _make_object,
            make_many=_make_objects,
            suits=_suits,
            fit=_fit_object,
            attributes=True,
        ),
        Kind("own_dict", Form.CONTAINER, _make_own_dict, is_shared=False, attributes=True),
    ),
    claim=_claim,
    block=_block,
)
