"""Column types as `datasets.Features`, without importing datasets: Arrow types, and what a Parquet file says of them.

`datasets` reads the key `huggingface` of a file's schema; other readers ignore it. Texts and lists have 32-bit offsets,
as `datasets` writes them itself: a row group is far below 2 GiB.
"""

from __future__ import annotations

from typing import Any, Final

import orjson
import polars as pl
import pyarrow as pa

KEY: Final = b"huggingface"
"""Of the metadata of a file's schema."""


def arrow_schema(schema: pl.Schema) -> pa.Schema:
    """Arrow schema of a frame's columns, with the features in its metadata."""
    plain = pl.DataFrame(schema=schema).to_arrow(compat_level=pl.CompatLevel.oldest()).schema
    small = pa.schema([pa.field(field.name, _small(field.type)) for field in plain])
    said = orjson.dumps({"info": {"features": features(small)}})
    return small.with_metadata({KEY: said})


def features(schema: pa.Schema) -> dict[str, Any]:
    """Column -> feature, as `datasets.Features.to_dict` spells it."""
    return {field.name: _feature(field.type) for field in schema}


def _small(kind: pa.DataType) -> pa.DataType:
    """The type with 32-bit offsets, and without dictionaries."""
    if pa.types.is_dictionary(kind):
        return _small(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(inner.name, _small(inner.type)) for inner in kind])
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_small(kind.value_type), kind.list_size)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(_small(kind.value_type))
    return kind


def _feature(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_struct(kind):
        return {inner.name: _feature(inner.type) for inner in kind}
    if pa.types.is_fixed_size_list(kind):
        return {"feature": _feature(kind.value_type), "length": kind.list_size, "_type": "List"}
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    return {"dtype": _NAMES.get(str(kind), str(kind)), "_type": "Value"}


_NAMES: Final = {"halffloat": "float16", "float": "float32", "double": "float64", "date32[day]": "date32"}
"""Arrow's names that differ from those of `datasets`."""
