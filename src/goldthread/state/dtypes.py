"""Types of arrays in plain words, from which they are made again.

    "<f8" "|S3" "<M8[ns]" "<q"            as NumPy writes it; "q" and "Q" are the C types that "l" and "L" equal
    "bfloat16"                            the name of a type that another package added
    ["<i4", [2, 3]]                       an array of such in each element
    {"names": ..., "formats": ...}        named fields; "record": its elements are `np.record`
    {"text": ..., "coerce": ..., "na": ...}  `StringDType`; "na" where something stands for what is missing: a text,
                                          null, or ["nan"]
    {"of": ..., "metadata": {...}}        what NumPy carries along and does not look at

Two types that are `==` may differ in more than one respect; their words differ in all.
"""

from __future__ import annotations

import math
import re
import sys
from typing import Any, Final

import numpy as np

from goldthread.errors import CommitDamaged

__all__ = ["PLAIN_DTYPES", "carried_metadata", "dtype_from", "dtype_word", "is_single", "loses_metadata", "why_no_word"]

DType = np.dtype[Any]

PLAIN_DTYPES: Final = frozenset(id(np.dtype(char)) for char in "?bBhHiIlLefdgFDG")
"""The types, of which there is one object each, that most arrays have. `==` tells these apart from each other."""

_SINGLE: Final = PLAIN_DTYPES | {id(np.dtype(char)) for char in "qQO"}
_ADDED: Final = 2
"""What `dtype.isbuiltin` says of a type that another package added, such as bfloat16."""
_KNOWN: Final = "?bBhHiIlLqQpPefdgFDGmMSUVO"
_RECORD: Final = np.dtype((np.record, [("a", "i1")])).type
_StringDType: Final[Any] = getattr(np.dtypes, "StringDType", None)
_METADATA: Final = frozenset({type(None), bool, int, float, str})


def is_single(dtype: DType) -> bool:
    """Whether there is but one object of this type."""
    return id(dtype) in _SINGLE


def dtype_word(dtype: DType) -> Any:
    """A type in plain words. Of what `why_no_word` refuses, a word that is not its own."""
    word = _bare_word(dtype)
    metadata = carried_metadata(dtype)
    return {"of": word, "metadata": metadata} if metadata else word


def _bare_word(dtype: DType) -> Any:
    if dtype.subdtype is not None:
        part, shape = dtype.subdtype
        return [dtype_word(part), list(shape)]
    if dtype.names is not None:
        return _fields_word(dtype)
    if dtype.char == "T":
        return _text_word(dtype)
    if dtype.isbuiltin == _ADDED:
        return dtype.name
    return f"{dtype.str[0]}{dtype.char}" if dtype.char in "qQ" else dtype.str


def _fields_word(dtype: DType) -> dict[str, Any]:
    fields = [dtype.fields[name] for name in dtype.names or ()]  # type: ignore[index]
    titles = [(*field, None)[2] for field in fields]
    return {
        "names": list(dtype.names or ()),
        "formats": [dtype_word(field[0]) for field in fields],
        "offsets": [field[1] for field in fields],
        "itemsize": dtype.itemsize,
        "aligned": dtype.isalignedstruct,
        **({"titles": titles} if any(title is not None for title in titles) else {}),
        **({"record": True} if dtype.type is _RECORD else {}),
    }


def _text_word(dtype: Any) -> dict[str, Any]:
    word: dict[str, Any] = {"text": "StringDType", "coerce": dtype.coerce}
    if not hasattr(dtype, "na_object"):
        return word
    na = dtype.na_object
    return {**word, "na": ["nan"] if type(na) is float else na}  # A word that holds a NaN would not equal itself.


def carried_metadata(dtype: DType) -> dict[str, Any] | None:
    """The metadata of a type, where all of it can be written in a manifest; None where there is none, or it cannot."""
    metadata = None if dtype.metadata is None else dict(dtype.metadata)
    return metadata if metadata and _can_be_written(metadata) else None


def _can_be_written(thing: Any) -> bool:
    if type(thing) is dict:
        return all(type(key) is str and _can_be_written(value) for key, value in thing.items())
    if type(thing) is list:
        return all(map(_can_be_written, thing))
    if type(thing) is float:
        return math.isfinite(thing)
    return type(thing) in _METADATA and not (type(thing) is int and thing.bit_length() > 63)


def why_no_word(dtype: DType) -> str:
    """Why a type cannot be made again from words; empty where it can."""
    if dtype.subdtype is not None:
        return why_no_word(dtype.subdtype[0])
    if dtype.names is not None:
        if dtype.type not in (np.void, _RECORD):
            return f"its elements are of the class {dtype.type.__qualname__}"
        fields: Any = dtype.fields
        if any(type((*fields[name], None)[2]) not in (str, type(None)) for name in dtype.names):
            return "it has a title that is no text"
        return next((why for name in dtype.names if (why := why_no_word(fields[name][0]))), "")
    if dtype.char == "T":
        na = getattr(dtype, "na_object", None)
        is_plain = na is None or type(na) is str or (type(na) is float and math.isnan(na))
        return "" if is_plain else f"{na!r} stands for what is missing"
    is_known = dtype.isbuiltin == _ADDED or (dtype.char in _KNOWN and dtype.type.__module__ == "numpy")
    return "" if is_known else "it is another package's"


def loses_metadata(dtype: DType) -> bool:
    """Whether a type, or one in it, has metadata that cannot be written."""
    parts = [dtype.subdtype[0]] if dtype.subdtype is not None else []
    if dtype.fields is not None:
        parts += [field[0] for field in dtype.fields.values()]
    return (bool(dtype.metadata) and carried_metadata(dtype) is None) or any(map(loses_metadata, parts))


def dtype_from(word: Any) -> DType:
    """The type that words tell of. Raises `CommitDamaged` where they tell of none, or it is of a package that is not
    loaded."""
    try:
        return _dtype_from(word)
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise CommitDamaged(f"the type of an array makes no sense: {error!r}") from error


def _dtype_from(word: Any) -> DType:
    if isinstance(word, list):
        part, shape = word
        whole: DType = np.dtype((dtype_from(part), tuple(shape)))
        return whole
    if isinstance(word, dict):
        return _dtype_from_map(word)
    return np.dtype(word) if re.match(r"[<>|=]", word) else _added_dtype(word)


def _dtype_from_map(word: dict[str, Any]) -> DType:
    if "of" in word:
        return np.dtype(dtype_from(word["of"]), metadata=word["metadata"])
    if "text" in word:
        if _StringDType is None:
            raise CommitDamaged("the type StringDType of an array is not known here", hint="it needs NumPy 2")
        na = {"na_object": np.nan if word["na"] == ["nan"] else word["na"]} if "na" in word else {}
        made: DType = _StringDType(coerce=word["coerce"], **na)
        return made
    described = {
        "names": word["names"],
        "formats": [dtype_from(part) for part in word["formats"]],
        "offsets": word["offsets"],
        "itemsize": word["itemsize"],
        **({"titles": word["titles"]} if "titles" in word else {}),
    }
    fields: DType = np.dtype(described, align=word["aligned"])  # type: ignore[call-overload]
    return np.dtype((_RECORD, fields)) if word.get("record") else fields


def _added_dtype(name: str) -> DType:
    """A type that another package added."""
    package = sys.modules.get("ml_dtypes")
    kind = getattr(package, name, None)
    if kind is None:
        raise CommitDamaged(f"the type {name} of an array is not known here", hint="import ml_dtypes first")
    added: DType = np.dtype(kind)
    return added
