"""How columns are written to Parquet: what suits each, as measured (ARCHITECTURE.md, "Tables")."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from attrs import frozen

__all__ = ["FileLayout", "parquet_options"]

#: A column is compressed where a sample of it becomes at least so much smaller. Prices do, by
#: nearly a half; volumes do not at all, and cost their reader a second copy.
_WORTH = 0.9

_SAMPLE_BYTES = 1 << 18

#: Fewer tell nothing.
_FEW_ROWS = 1024

#: What Parquet calls lz4 has no frame around it.
_CODECS = {"lz4": "lz4_raw"}


@frozen
class FileLayout:
    """How data files are written; each default was measured (ARCHITECTURE.md, "Tables").

    Attributes:
        row_group_rows: Rows of a row group, the unit that scans skip.
        file_bytes: A file is closed once it has so many bytes, and the next one begun.
        compression: `lz4`, `zstd`, `snappy` or `none`.
    """

    row_group_rows: int = 1 << 15
    file_bytes: int = 512 << 20
    compression: str = "lz4"


def parquet_options(
    schema: pa.Schema, layout: FileLayout, sample: pa.Table | None = None
) -> dict[str, Any]:
    """What suits the columns: text repeats and is a dictionary, whole numbers go up by steps.

    Args:
        schema: The file's columns.
        layout: How files are written.
        sample: Its first rows; without them every column is compressed.
    """
    texts = [each.name for each in schema if _is_text(each.type)]
    whole = [each.name for each in schema if pa.types.is_integer(each.type)]
    times = [each.name for each in schema if pa.types.is_timestamp(each.type)]
    return {
        "compression": _compressions(sample, layout.compression) or layout.compression,
        "use_dictionary": texts,
        "column_encoding": dict.fromkeys([*whole, *times], "DELTA_BINARY_PACKED"),
        "store_schema": False,
        "write_page_index": True,
        "version": "2.6",
    }


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_dictionary(kind))


def _compressions(sample: pa.Table | None, codec: str) -> dict[str, str]:
    if sample is None or sample.num_rows < _FEW_ROWS or codec == "none":
        return {}
    return {
        name: codec if _is_worth_it(column, codec) else "none"
        for name, column in zip(sample.column_names, sample.columns, strict=True)
    }


def _is_worth_it(column: Any, codec: Any) -> bool:
    if pa.types.is_integer(column.type):
        return False  # deltas are packed to the bit
    if not (pa.types.is_floating(column.type) or pa.types.is_decimal(column.type)):
        return True
    values = column.chunk(0).buffers()[1] if column.num_chunks else None
    if values is None or not values.size:
        return True
    some = values.slice(0, min(values.size, _SAMPLE_BYTES))
    small = pa.compress(some, codec=_CODECS.get(codec, codec), asbytes=False)
    return bool(small.size <= _WORTH * some.size)
