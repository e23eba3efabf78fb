"""How each column is written to Parquet, by measurement (ARCHITECTURE.md, "Tables")."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from attrs import frozen

__all__ = ["FileLayout", "parquet_options"]

#: A column is compressed if a sample shrinks to this share of its size. Prices shrink by nearly a
#: half; volumes do not shrink at all, and to decompress them would cost the reader a second copy.
_WORTH = 0.9

_SAMPLE_BYTES = 1 << 18

#: A smaller sample is not representative.
_FEW_ROWS = 1024

#: Parquet's lz4 is the raw format, without a frame.
_CODECS = {"lz4": "lz4_raw"}


@frozen
class FileLayout:
    """How data files are written; each default was measured (ARCHITECTURE.md, "Tables").

    Attributes:
        row_group_rows: Rows in a row group, the unit that scans skip.
        file_bytes: A file is closed once it has this many bytes, and another one is begun.
        compression: `lz4`, `zstd`, `snappy` or `none`.
    """

    row_group_rows: int = 1 << 15
    file_bytes: int = 512 << 20
    compression: str = "lz4"


def parquet_options(
    schema: pa.Schema, layout: FileLayout, sample: pa.Table | None = None
) -> dict[str, Any]:
    """Options of the Parquet writer: dictionaries for text, deltas for whole numbers and times.

    Args:
        schema: The columns of the file.
        layout: How files are written.
        sample: The first rows; without a sample every column is compressed.
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
        "write_page_checksum": True,
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
