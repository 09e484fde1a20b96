"""Pickles: only where the user allowed them, for what can be stored in no other way."""

from __future__ import annotations

import pickle
from typing import Any, Final

import numpy as np

from goldthread.state.classes import class_path
from goldthread.state.kind import Family, Form, Kind
from goldthread.state.nodes import Node
from goldthread.state.walk import Refusal, Walk

__all__ = ["ALLOW", "FAMILY", "SPECIAL", "customises", "store_pickle"]

ALLOW: Final = (
    "goldthread.join(..., pickle=True) allows pickle for such leaves: then restoring runs code that the pickle names"
)
SPECIAL: Final = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__getnewargs__", "__getnewargs_ex__")


def customises(cls: type) -> bool:
    """Whether a class says itself how it is pickled."""
    return any(getattr(cls, name, None) is not getattr(object, name, None) for name in SPECIAL)


def store_pickle(walk: Walk, thing: object) -> None:
    if not walk.pickle:
        raise Refusal(f"{type(thing).__name__} cannot be stored", ALLOW)
    if walk.enter(thing):
        try:
            data = pickle.dumps(thing, 5)
        except Exception as error:
            raise Refusal(
                f"{type(thing).__name__} cannot be stored, and pickle refuses it: {error}", "keep it out of the state"
            ) from error
        walk.buffer("pickle", np.frombuffer(data, np.uint8), class_path(type(thing)))


def _make(rebuilder: Any, node: Node, place: object) -> Any:
    return pickle.loads(rebuilder.unpickle(node, place))


FAMILY: Final = Family(kinds=(Kind("pickle", Form.BUFFER, _make),))
