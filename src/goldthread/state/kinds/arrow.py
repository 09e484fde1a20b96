"""pyarrow: tables, arrays, types and scalars; and what pandas and polars keep in them.

An array of plain values is stored as the buffers in which it lies, without a copy on the way and of a slice only what
belongs to it. Arrays of other types (nested, dictionaries, views, extensions) go by way of Arrow's own stream format.
Chunks are kept, and so is metadata. None of it ever changes, so what the program has is replaced.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import numpy as np

from goldthread.state.kind import Family, Store
from goldthread.state.kinds.recipes import Recipe, library, store_by
from goldthread.state.walk import Refusal

__all__ = ["FAMILY", "array_from_stream", "stream_of"]

Array = np.ndarray[Any, Any]
_ALIGNED: Final = 8
"""Arrow reads memory that begins at a multiple of this."""


# Types, fields and schemas.


def _schema_of(thing: Any) -> Any:
    arrow = library("pyarrow")
    if isinstance(thing, arrow.DataType):
        return arrow.schema([arrow.field("", thing)])
    return arrow.schema([thing]) if isinstance(thing, arrow.Field) else thing


def _kind_of_type(thing: Any) -> str:
    arrow = library("pyarrow")
    return "type" if isinstance(thing, arrow.DataType) else "field" if isinstance(thing, arrow.Field) else "schema"


def _type_to(thing: Any) -> Any:
    kind, data = _kind_of_type(thing), _schema_of(thing).serialize().to_pybytes()
    text = str(thing) if "extension<" in str(thing) else ""
    made = _type_back((kind, data, ""))
    is_same = made.equals(thing) if kind == "type" else made.equals(thing, check_metadata=True)
    if not is_same:
        raise Refusal(f"the Arrow type {thing} cannot be stored", "register it with pyarrow")
    return kind, data, text


def _type_back(parts: Any) -> Any:
    kind, data, text = parts
    arrow = library("pyarrow")
    made = arrow.ipc.read_schema(arrow.py_buffer(data))
    if kind != "schema":
        made = made.field(0) if kind == "field" else made.field(0).type
    if text and text != str(made):
        raise ImportError(f"Arrow knows no type {text} here", name="and register it")
    return made


# Arrays.


def _array_to(array: Any) -> Any:
    types = library("pyarrow").types
    if type(array.type).__name__ == "DictionaryType" or not _is_flat(types, array.type):
        return array.type, stream_of(array)
    is_text = len(array.buffers()) == 3
    if is_text and array.offset:
        return array.type, stream_of(array)
    skipped = array.offset - array.offset % 8
    count = len(array) + array.offset - skipped
    return array.type, len(array), array.null_count, array.offset - skipped, _buffers_of(array, skipped, count)


def _is_flat(types: Any, kind: Any) -> bool:
    """Whether an array of this type is a bitmap, and values of one width or text."""
    if hasattr(kind, "extension_name"):
        return False
    tests = (types.is_primitive, types.is_decimal, types.is_fixed_size_binary, types.is_string, types.is_binary,
             types.is_large_string, types.is_large_binary)  # fmt: skip
    return any(test(kind) for test in tests)


def _buffers_of(array: Any, skipped: int, count: int) -> tuple[Array | None, ...]:
    buffers = array.buffers()
    valid = None if array.null_count == 0 else _bytes_of(buffers[0], skipped // 8, -(-(skipped + count) // 8))
    if len(buffers) == 2:
        bits = array.type.bit_width
        return valid, _bytes_of(buffers[1], skipped * bits // 8, -(-(skipped + count) * bits // 8))
    wide = "large" in str(array.type)
    starts = _bytes_of(buffers[1], 0, (count + 1) * (8 if wide else 4))
    ends = starts.view(np.int64 if wide else np.int32)
    return valid, starts, _bytes_of(buffers[2], 0, int(ends[-1]) if len(ends) else 0)


def _bytes_of(buffer: Any, start: int, end: int) -> Array:
    """A part of a buffer as it lies in memory."""
    if buffer is None or buffer.size == 0:
        return np.zeros(0, np.uint8)
    if not buffer.is_cpu:
        raise Refusal("an Arrow buffer that is not in the memory of the CPU cannot be stored", "copy it to the CPU")
    found = np.frombuffer(buffer, np.uint8)[start:end]
    found.flags.writeable = False
    return found


def _array_back(parts: Any) -> Any:
    arrow = library("pyarrow")
    kind, first, *rest = parts
    if not rest:
        return array_from_stream(first, kind)
    missing, offset, buffers = rest
    made = [None if one is None else arrow.py_buffer(_aligned(one)) for one in buffers]
    return arrow.Array.from_buffers(kind, first, made, missing, offset)


def _aligned(array: Array) -> Array:
    return array if array.__array_interface__["data"][0] % _ALIGNED == 0 else array.copy()


def stream_of(array: Any) -> Array:
    """An array in Arrow's stream format."""
    arrow = library("pyarrow")
    batch = arrow.record_batch([array], schema=arrow.schema([arrow.field("", array.type)]))
    sink = arrow.BufferOutputStream()
    with arrow.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return np.frombuffer(sink.getvalue(), np.uint8)


def array_from_stream(data: Array, kind: Any) -> Any:
    arrow = library("pyarrow")
    made = next(arrow.ipc.open_stream(arrow.py_buffer(_aligned(data)))).column(0)
    if made.type != kind:
        raise ImportError(f"Arrow knows no type {kind} here", name="and register it")
    return made


# Of arrays.


def _chunked_to(chunked: Any) -> Any:
    return chunked.type, tuple(chunked.chunks)


def _chunked_back(parts: Any) -> Any:
    kind, chunks = parts
    return library("pyarrow").chunked_array(list(chunks), type=kind)


def _batch_to(batch: Any) -> Any:
    if batch.num_columns == 0 and batch.num_rows:
        raise Refusal("a record batch that has rows and no columns cannot be stored", "store how many rows it has")
    return batch.schema, tuple(batch.columns)


def _batch_back(parts: Any) -> Any:
    schema, columns = parts
    return library("pyarrow").RecordBatch.from_arrays(list(columns), schema=schema)


def _table_to(table: Any) -> Any:
    if table.num_columns == 0 and table.num_rows:
        raise Refusal("an Arrow table that has rows and no columns cannot be stored", "store how many rows it has")
    return table.schema, tuple(table.columns)


def _table_back(parts: Any) -> Any:
    schema, columns = parts
    return library("pyarrow").Table.from_arrays(list(columns), schema=schema)


def _scalar_to(scalar: Any) -> Any:
    """An array of one; what Arrow cannot make one of is refused."""
    arrow = library("pyarrow")
    try:
        array = _array_with(arrow, scalar)
        is_same = array[0].equals(scalar)
    except (arrow.ArrowException, TypeError, ValueError) as error:
        raise Refusal(f"{type(scalar).__name__} cannot be stored: {error}", "store an array with it") from error
    if not is_same and scalar.as_py() == scalar.as_py():  # But for what is not a number.
        raise Refusal(f"{type(scalar).__name__} cannot be stored", "store an array with it")
    return array


def _array_with(arrow: Any, scalar: Any) -> Any:
    if not scalar.is_valid:
        return arrow.nulls(1, scalar.type)
    if isinstance(scalar, arrow.DictionaryScalar):
        index = arrow.array([scalar.index.as_py()], type=scalar.type.index_type)
        return arrow.DictionaryArray.from_arrays(index, scalar.dictionary, ordered=scalar.type.ordered)
    if isinstance(scalar, arrow.ExtensionScalar):
        return arrow.ExtensionArray.from_storage(scalar.type, _array_with(arrow, scalar.value))
    return arrow.array([scalar], type=scalar.type)


def _buffer_to(buffer: Any) -> Any:
    return _bytes_of(buffer, 0, buffer.size)


def _buffer_back(data: Any) -> Any:
    return library("pyarrow").py_buffer(data)


_TYPE: Final = store_by(Recipe("pyarrow.type", _type_to, _type_back))
_ARRAY: Final = store_by(Recipe("pyarrow.Array", _array_to, _array_back))
_CHUNKED: Final = store_by(Recipe("pyarrow.ChunkedArray", _chunked_to, _chunked_back))
_BATCH: Final = store_by(Recipe("pyarrow.RecordBatch", _batch_to, _batch_back))
_TABLE: Final = store_by(Recipe("pyarrow.Table", _table_to, _table_back))
_SCALAR: Final = store_by(Recipe("pyarrow.Scalar", _scalar_to, lambda array: array[0]))
_BUFFER: Final = store_by(Recipe("pyarrow.Buffer", _buffer_to, _buffer_back))


def _claim(cls: type) -> Store | None:
    arrow = sys.modules["pyarrow"]
    if not hasattr(arrow, "Table"):
        return None
    exact = {
        arrow.ChunkedArray: _CHUNKED,
        arrow.RecordBatch: _BATCH,
        arrow.Table: _TABLE,
        arrow.Schema: _TYPE,
        arrow.Field: _TYPE,
    }
    if cls in exact:
        return exact[cls]
    bases = ((arrow.DataType, _TYPE), (arrow.Array, _ARRAY), (arrow.Scalar, _SCALAR), (arrow.Buffer, _BUFFER))
    return next((store for base, store in bases if issubclass(cls, base)), None)


FAMILY: Final = Family(claim=_claim, package="pyarrow")
