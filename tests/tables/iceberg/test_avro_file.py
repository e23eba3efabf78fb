"""Avro files are read, and written again as they were but for the values that were changed."""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_lakehouse.tables.iceberg.avro_file import AvroError, AvroFile, _Codec, _Input

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "entry",
    "fields": [
        {"name": "path", "type": "string"},
        {"name": "size", "type": "long"},
        {"name": "few", "type": {"type": "int"}},
        {"name": "maybe", "type": ["null", "long"]},
        {"name": "bounds", "type": {"type": "array", "items": "bytes"}},
        {"name": "by_name", "type": {"type": "map", "values": "string"}},
        {"name": "flag", "type": "boolean"},
        {"name": "ratio", "type": "double"},
        {"name": "ratio4", "type": "float"},
        {"name": "digest", "type": {"type": "fixed", "name": "four", "size": 4}},
        {"name": "again", "type": "four"},
        {"name": "kind", "type": {"type": "enum", "name": "kinds", "symbols": ["A", "B"]}},
        {"name": "next", "type": ["null", "entry"]},
    ],
}

_LONGS = st.integers(-(2**63), 2**63 - 1)
_BYTES4 = st.binary(min_size=4, max_size=4)
_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "path": st.text(),
    "size": _LONGS,
    "few": st.integers(-(2**31), 2**31 - 1),
    "maybe": st.one_of(st.just((0, b"")), st.tuples(st.just(1), _LONGS)),
    "bounds": st.lists(st.binary()),
    "by_name": st.lists(st.tuples(st.text(), st.text())),
    "flag": st.sampled_from([b"\0", b"\1"]),
    "ratio": st.binary(min_size=8, max_size=8),
    "ratio4": _BYTES4,
    "digest": _BYTES4,
    "again": _BYTES4,
    "kind": st.integers(0, 1),
}
_LEAVES = st.fixed_dictionaries({**_FIELDS, "next": st.just((0, b""))})
RECORDS = st.recursive(
    _LEAVES,
    lambda inner: st.fixed_dictionaries({**_FIELDS, "next": st.tuples(st.just(1), inner)}),
    max_leaves=3,
)


def file_of(records: list[list[dict[str, Any]]], codec: str, schema: Any = SCHEMA) -> AvroFile:
    properties = [
        ("avro.schema", json.dumps(schema).encode()),
        ("avro.codec", codec.encode()),
        ("note", b"\xff"),
    ]
    return AvroFile(records, properties, b"s" * 16, schema, _Codec(), codec == "deflate")


@given(st.lists(st.lists(RECORDS, max_size=3), max_size=3), st.sampled_from(["null", "deflate"]))
def test_what_is_read_is_written_again(records: list[list[dict[str, Any]]], codec: str) -> None:
    data = file_of(records, codec).encoded()
    read = AvroFile.read(data)
    assert read.records == records
    assert read.encoded() == data
    if records and records[0]:
        records[0][0]["path"] = "file:///another/place/that/is/longer"
        read.records[0][0]["path"] = records[0][0]["path"]
        assert AvroFile.read(read.encoded()).records == records


@given(st.data())
def test_damage_raises_nothing_else(data: st.DataObject) -> None:
    good = file_of([[data.draw(_LEAVES)]], "deflate").encoded()
    place = data.draw(st.integers(0, len(good) - 1))
    flipped = good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]
    for bad in (good[:place], flipped):
        with suppress(AvroError):  # another value may be as good a one
            AvroFile.read(bad)


def test_an_array_may_come_in_blocks_with_their_sizes() -> None:
    schema = {"type": "array", "items": "long"}
    # Two blocks: one of two items with its size in bytes, one of one item.
    assert _Codec().decode(schema, _Input(bytes([3, 4, 2, 4, 2, 6, 0]))) == [1, 2, 3]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"PAR1", "no Avro file"),
        (b"", "ends early"),
        (b"Obj\x01" + b"\xff" * 12, "too long"),
        (file_of([], "snappy").encoded(), "compressed with `snappy`, which is not supported"),
        (file_of([], "null", {"type": "record", "name": "x"}).encoded()[:-1], "ends early"),
    ],
)
def test_other_files_are_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(AvroError, match=reason):
        AvroFile.read(data)


def with_rows(schema: Any, rows: bytes) -> bytes:
    head = file_of([], "deflate", schema).encoded()
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(rows) + packer.flush()
    return head + bytes([2, 2 * len(packed)]) + packed + b"s" * 16


@pytest.mark.parametrize(
    ("kind", "rows", "reason"),
    [
        ("decimal", b"", "of the unknown type `decimal`"),
        (["null"], b"\x02", "a union has no such branch"),
        ("long", b"\x02\x02", "another length than it says"),
        ("long", b"\x80" * 10 + b"\x01", "a number is too long"),
        ("string", b"\x03", "ends early"),
        ("string", b"\x02\xff", "it is damaged"),
    ],
)
def test_values_that_do_not_fit_the_schema_are_refused(kind: Any, rows: bytes, reason: str) -> None:
    schema = {"type": "record", "name": "one", "fields": [{"name": "it", "type": kind}]}
    with pytest.raises(AvroError, match=reason):
        AvroFile.read(with_rows(schema, rows))
