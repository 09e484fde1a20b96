"""Objects: stored by their attributes, without pickle and without running their code.

An object is its `__dict__`, the `__slots__` of all its bases, and, where it derives from a builtin container or value,
the items of that. It is made by `__new__` of that builtin base and its attributes are set past `__setattr__` and
`__init__`. What cannot be had this way is refused: a class with memory of its own (written in C), one that runs code
when it dies or is read, one whose name does not lead to it.

What the class itself says of its state (`__getstate__`, `__reduce_ex__`) is used only where it is registered
(`recipes.py`) or pickle is allowed.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from goldthread.errors import DoesNotFit
from goldthread.state.classes import class_path
from goldthread.state.fit import HINT
from goldthread.state.kind import Family, Form, Kind, Store
from goldthread.state.kinds.bases import Base, base_of
from goldthread.state.kinds.names import find, refuse_unless_found
from goldthread.state.kinds.pickles import customises, store_pickle
from goldthread.state.nodes import Block, Node
from goldthread.state.walk import Refusal, Walk, as_attribute

__all__ = ["FAMILY", "plan_of", "store_object"]

_REGISTER: Final = "goldthread.register({}, to=..., back=...) says how it is stored; or keep it out of the state"
_HEAP_TYPE: Final = 1 << 9
_MANAGED_DICT: Final = 1 << 4
_MANAGED_WEAKREF: Final = 1 << 3
_POINTER_BYTES: Final = tuple.__itemsize__


class Plan(NamedTuple):
    """How the objects of a class are taken apart."""

    base: Base | None
    """Of what builtin they are; None: of `object` alone."""
    slots: dict[str, types.MemberDescriptorType]
    attributes: types.GetSetDescriptorType | None
    """Gives their `__dict__`."""
    fields: list[str] | None
    """Of a dataclass."""
    refusal: tuple[str, str] | None
    """Why they cannot be stored, and a way out."""


_plans: Final[dict[type, Plan]] = {}


def plan_of(cls: type) -> Plan:
    """What cannot be stored has a refusal in its plan."""
    plan = _plans.get(cls)
    if plan is None:
        plan = _plans[cls] = _make_plan(cls)
    return plan


def _make_plan(cls: type) -> Plan:
    slots: dict[str, types.MemberDescriptorType] = {}
    doubled = False
    base: Base | None = None
    attributes = None
    odd: str | None = None
    solid: type = object
    for one in cls.__mro__:
        if not one.__flags__ & _HEAP_TYPE or base_of(one) is not None:
            solid, base = one, base_of(one)
            if attributes is None and "__dict__" in vars(one):
                attributes = vars(one)["__dict__"]
            break
        for name, value in vars(one).items():
            if isinstance(value, types.MemberDescriptorType):
                doubled |= name in slots
                slots[name] = value
            elif name == "__dict__":
                attributes = attributes or value
            elif odd is None and _has_side_effects(value):
                odd = name
    refusal = _refusal(cls, solid, base, slots, attributes, odd, doubled)
    fields = [field.name for field in dataclasses.fields(cls)] if dataclasses.is_dataclass(cls) else None
    return Plan(base, slots, attributes, fields, refusal)


def _has_side_effects(value: object) -> bool:
    """Whether an attribute of a class is a descriptor that may keep what is set somewhere else."""
    if isinstance(value, (property, types.MemberDescriptorType, types.GetSetDescriptorType, type)):
        return False
    return hasattr(type(value), "__set__") or hasattr(type(value), "__delete__")


def _refusal(
    cls: type, solid: type, base: Base | None, slots: Any, attributes: Any, odd: str | None, doubled: bool
) -> tuple[str, str] | None:
    hint = _REGISTER.format(cls.__qualname__)
    if solid is not object and base is None:
        return f"{cls.__name__} has memory that is not Python's ({solid.__module__}.{solid.__qualname__})", hint
    if hasattr(cls, "__del__"):
        return f"{cls.__name__} runs code when it dies (__del__)", hint
    if odd is not None:
        return f"{cls.__name__} keeps {odd} by a descriptor that may put it somewhere else", hint
    if doubled:
        return f"{cls.__name__} has two slots of one name", hint
    if attributes is not None and not isinstance(attributes, types.GetSetDescriptorType):
        return f"{cls.__name__} computes its __dict__", hint
    if base is None and cls.__basicsize__ > _expected_bytes(cls, slots):
        return f"{cls.__name__} has memory that is not Python's", hint
    return None


def _expected_bytes(cls: type, slots: Any) -> int:
    """What objects of a class written in Python take, as `object.__reduce_ex__` reckons it."""
    size = object.__basicsize__ + _POINTER_BYTES * len(slots)
    if cls.__dictoffset__ and not cls.__flags__ & _MANAGED_DICT:
        size += _POINTER_BYTES
    if cls.__weakrefoffset__ and not cls.__flags__ & _MANAGED_WEAKREF:
        size += _POINTER_BYTES
    return size


def contents_of(plan: Plan, thing: Any) -> dict[str, Any]:
    """The attributes of an object, those in slots first."""
    contents: dict[str, Any] = {}
    for name, slot in plan.slots.items():
        try:
            contents[name] = slot.__get__(thing)
        except AttributeError:
            continue
    if plan.attributes is not None:
        contents.update(dict.copy(plan.attributes.__get__(thing)))
    return contents


def store_object(walk: Walk, thing: Any) -> None:
    cls = type(thing)
    plan = plan_of(cls)
    if walk.pickle and (plan.refusal is not None or customises(cls)):
        store_pickle(walk, thing)
        return
    if plan.refusal is not None:
        raise Refusal(f"{cls.__qualname__} cannot be stored: {plan.refusal[0]}", plan.refusal[1])
    try:
        refuse_unless_found(walk, cls)
    except Refusal:
        if walk.pickle:
            store_pickle(walk, thing)
            return
        raise
    if not walk.enter(thing):
        return
    contents = contents_of(plan, thing)
    names: list[Any] = list(contents)
    if plan.base is None:
        atom = ("object", class_path(cls), plan.fields, names)
        walk.inside(thing, atom, names, contents.values(), as_attribute)
    else:
        walk.atoms.append(("object", class_path(cls), plan.fields, [None, *names], len(names) + 1))
        items = walk.made(plan.base.take(thing))
        walk.visit(thing, [None, *names], [items, *contents.values()], as_attribute, whole=plan.base.is_whole)


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


def _make_object(rebuilder: Any, node: Node, place: object) -> Any:
    cls = find(rebuilder, node.details[0], place)
    plan = _plan_for_restore(cls, place)
    if plan.base is None or not plan.base.is_whole:
        made = rebuilder.note(node, object.__new__(cls) if plan.base is None else plan.base.new(cls, None))
        children = rebuilder.children(node, place)
        if plan.base is not None and plan.base.fill is not None:
            plan.base.fill(made, children[0])
    else:
        children = rebuilder.children(node, place)
        made = rebuilder.note(node, plan.base.new(cls, children[0]))
    contents = {name: value for name, value in zip(node.keys, children, strict=True) if name is not None}
    _set_attributes(plan, made, contents, place)
    return made


def _make_objects(rebuilder: Any, block: Block, place: object) -> list[Any]:
    cls = find(rebuilder, block.details[0], place)
    plan = _plan_for_restore(cls, place)
    new = object.__new__
    if plan.base is not None or plan.slots or plan.attributes is None:
        return [rebuilder.make(node, place) for node in block.nodes]
    made = [new(cls) for _ in block.items]
    take: Any = plan.attributes.__get__
    for attributes, contents in zip(map(take, made), block.items, strict=True):
        attributes.update(contents)
    return made


def _plan_for_restore(cls: Any, place: object) -> Plan:
    plan = plan_of(cls)
    if plan.refusal is not None:
        raise DoesNotFit(f"{place}: {plan.refusal[0]}, and is not made from a commit", hint=plan.refusal[1])
    return plan


def _set_attributes(plan: Plan, made: Any, contents: dict[str, Any], place: object) -> None:
    if not plan.slots and plan.attributes is not None:
        plan.attributes.__get__(made).update(contents)
        return
    for name, value in contents.items():
        if name in plan.slots:
            plan.slots[name].__set__(made, value)
        elif plan.attributes is not None:
            plan.attributes.__get__(made)[name] = value
        else:
            raise DoesNotFit(f"{place}: {type(made).__qualname__} has no place for {name} any more", hint=HINT)


def _fit_object(fitter: Any, node: Node, current: Any, place: object) -> Any:
    """Its class is the program's, if the name is the same. What can be changed stays the program's own object; a
    frozen one is made anew, around what can."""
    cls, stored = type(current), node.details[0].partition(":")[2]
    if stored != cls.__qualname__:
        raise DoesNotFit(f"{place}: the commit has a {stored}, the program a {cls.__qualname__}", hint=HINT)
    plan = plan_of(cls)
    has_items = bool(node.keys) and node.keys[0] is None
    if has_items != (plan.base is not None) or (plan.base is not None and plan.base.is_whole):
        return fitter.make(node, place)
    target = object.__new__(cls) if _is_frozen(cls) and plan.base is None else current
    fitter.begin(node, target)
    items = fitter.fit(node.expand()[0], plan.base.take(current), place) if plan.base is not None else None
    present = contents_of(plan, current)
    contents = fitter.attributes(node, _room(plan, node), present, place)

    def finish() -> None:
        if plan.base is not None:
            plan.base.refill(target, items)
        if plan.attributes is not None:
            plan.attributes.__get__(target).clear()
        _set_attributes(plan, target, contents, place)

    if target is current:
        fitter.noted.append(finish)
    else:
        finish()
    return target


def _is_frozen(cls: Any) -> bool:
    params = getattr(cls, "__dataclass_params__", None)
    return params is not None and bool(params.frozen)


def _room(plan: Plan, node: Node) -> Callable[[str], bool]:
    """Whether objects have a place for an attribute: a field that the class lost has none."""
    lost = set(node.details[1] or ()) - set(plan.fields or ())
    return lambda name: name in plan.slots or (plan.attributes is not None and name not in lost)


def _claim(cls: type) -> Store | None:
    return store_object


FAMILY: Final = Family(
    kinds=(
        Kind(
            "object",
            Form.KEYED,
            _make_object,
            make_many=_make_objects,
            suits=lambda thing: plan_of(type(thing)).refusal is None,
            fit=_fit_object,
            attributes=True,
        ),
    ),
    claim=_claim,
    block=_block,
)
