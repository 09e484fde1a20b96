"""How the objects of a class are taken apart: of what builtin they are, where their attributes are, what stands against
it."""

from __future__ import annotations

import dataclasses
import types
from collections import namedtuple
from typing import Any, Final, NamedTuple

from goldthread.state.kinds.bases import Base, base_of
from goldthread.state.kinds.recipes import is_registered

__all__ = ["REGISTER", "Plan", "contents_of", "plan_of", "slots_of"]

REGISTER: Final = "goldthread.register({}, to=..., back=...) says how it is stored; or keep it out of the state"
_HEAP_TYPE: Final = 1 << 9
_EXCEPTION: Final = 1 << 30
_MANAGED_DICT: Final = 1 << 4
_MANAGED_WEAKREF: Final = 1 << 3
_POINTER_BYTES: Final = tuple.__itemsize__


class Plan(NamedTuple):
    """How the objects of a class are taken apart."""

    base: Base | None
    """Of what builtin they are; None: of `object` alone."""
    slots: dict[str, types.MemberDescriptorType]
    """By the name of the attribute; those that another hides have the name of their class before it."""
    attributes: Any
    """Gives their `__dict__`."""
    fields: list[str] | None
    """Of a dataclass."""
    refusal: tuple[str, str] | None
    """Why they cannot be stored, and a way out."""
    is_soft: bool = False
    """Whether they can be stored all the same, where the program says so."""

    @property
    def has_items(self) -> bool:
        return self.base is not None and self.base.take is not None

    def new(self, cls: Any) -> Any:
        """One without items or attributes."""
        return object.__new__(cls) if self.base is None else self.base.new(cls, None)


_plans: Final[dict[type, Plan]] = {}


def plan_of(cls: type) -> Plan:
    """What cannot be stored has a refusal in its plan."""
    plan = _plans.get(cls)
    if plan is None:
        plan = _plans[cls] = _make_plan(cls)
    if plan.refusal is not None and plan.is_soft and is_registered(cls):
        return plan._replace(refusal=None)
    return plan


def _make_plan(cls: type) -> Plan:
    slots: dict[str, types.MemberDescriptorType] = {}
    base: Base | None = None
    attributes = None
    odd: str | None = None
    solid: type = object
    for one in cls.__mro__:
        if not one.__flags__ & _HEAP_TYPE or base_of(one) is not None:
            solid, base = one, base_of(one) or _base_of_exception(one)
            attributes = attributes or vars(one).get("__dict__")
            break
        for name, value in vars(one).items():
            if isinstance(value, types.MemberDescriptorType):
                slots[name if name not in slots else f"{one.__qualname__}.{name}"] = value
            elif name == "__dict__":
                attributes = attributes or value
            elif odd is None and _has_side_effects(value):
                odd = name
    if solid is not object and attributes is None and cls.__dictoffset__:
        attributes = next((vars(one)["__dict__"] for one in solid.__mro__ if "__dict__" in vars(one)), None)
    why, is_soft = _refusal(cls, solid, base, slots, attributes, odd)
    refusal = None if why is None else (f"{cls.__name__} {why}", REGISTER.format(cls.__qualname__))
    fields = [field.name for field in dataclasses.fields(cls)] if dataclasses.is_dataclass(cls) else None
    return Plan(base, slots, attributes, fields, refusal, is_soft)


def _base_of_exception(cls: type) -> Base | None:
    """All that are written in C are alike, but for groups."""
    return next(filter(None, map(base_of, cls.__mro__))) if cls.__flags__ & _EXCEPTION else None


_PASSIVE: Final = (
    property, types.MemberDescriptorType, types.GetSetDescriptorType, type, type(vars(namedtuple("_", "one"))["one"])
)  # fmt: skip


def _has_side_effects(value: object) -> bool:
    """Whether an attribute of a class is a descriptor that may keep what is set somewhere else."""
    if isinstance(value, _PASSIVE):
        return False
    return hasattr(type(value), "__set__") or hasattr(type(value), "__delete__")


def _refusal(
    cls: type, solid: type, base: Base | None, slots: Any, attributes: Any, odd: str | None
) -> tuple[str | None, bool]:
    """Why objects of a class cannot be stored, and whether the word of the program changes that."""
    if solid is not object and base is None:
        return f"has memory that is not Python's ({solid.__module__}.{solid.__qualname__})", False
    if attributes is not None and not _gives_dict(attributes, base):
        return "computes its __dict__", False
    if base is None and cls.__basicsize__ > _expected_bytes(cls, slots):
        return "has memory that is not Python's", False
    if hasattr(cls, "__del__"):
        return "runs code when it dies (__del__)", True
    if odd is not None:
        return f"keeps {odd} by a descriptor that may put it somewhere else", True
    return None, False


def _gives_dict(attributes: object, base: Base | None) -> bool:
    is_member = base is not None and base.take is None and isinstance(attributes, types.MemberDescriptorType)
    return is_member or isinstance(attributes, types.GetSetDescriptorType)


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
    contents = slots_of(plan, thing)
    if plan.attributes is not None:
        contents.update(dict.copy(plan.attributes.__get__(thing)))
    return contents


def slots_of(plan: Plan, thing: Any) -> dict[str, Any]:
    contents: dict[str, Any] = {}
    for name, slot in plan.slots.items():
        try:
            contents[name] = slot.__get__(thing)
        except AttributeError:
            continue
    return contents
