"""Give a lake another place.

Iceberg's files name each other by absolute locations, so a lake that was made elsewhere cannot be
opened where it lies now (docs/tables.md, "Where it lies"). `move_lake` writes the new place into
everything that names the old one: the catalog's rows, the metadata files, the manifests and the
lists of manifests, and the journals of runs that were ended. Data files name no place, and stay
as they are byte for byte; so does the order, the codec and the content of everything else.

It follows the specifications of Avro and Iceberg and uses neither pyiceberg nor this program, so
that it reads what version 0.1.0 wrote whatever becomes of them.
"""

from __future__ import annotations

import io
import json
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

__all__ = ["avro_blocks", "move_lake"]

_MAGIC = b"Obj\x01"
_SYNC_BYTES = 16

#: Fixed widths of Avro's primitives, in bytes.
_WIDTHS = {"null": 0, "boolean": 1, "float": 4, "double": 8}

#: Columns of the catalog (pyiceberg's SqlCatalog) that hold locations.
_CATALOG = (
    ("iceberg_tables", "metadata_location"),
    ("iceberg_tables", "previous_metadata_location"),
    ("iceberg_namespace_properties", "property_value"),
)


def move_lake(lake: Path, was: str) -> None:
    """Write the place where a lake lies now into its files.

    Args:
        lake: The lake's directory, which holds `catalog.db`.
        was: The absolute path of that directory when the lake was made.
    """

    def moved(text: str) -> str:
        for before, after in ((f"file://{was}/", f"file://{lake}/"), (f"{was}/", f"{lake}/")):
            if text.startswith(before):
                return after + text.removeprefix(before)
        return text

    with closing(sqlite3.connect(lake / "catalog.db")) as catalog, catalog:
        for table, column in _CATALOG:
            _move_column(catalog, table, column, moved)
    for path in [*lake.rglob("*.metadata.json"), *lake.rglob("*.journal")]:
        lines = path.read_text(encoding="utf-8").splitlines()
        changed = [json.dumps(_mapped(json.loads(line), moved)) + "\n" for line in lines]
        path.write_text("".join(changed), encoding="utf-8")
    # Lists name the lengths of their manifests, which are other ones by then.
    for path in sorted(lake.rglob("*.avro"), key=lambda path: path.name.startswith("snap-")):
        path.write_bytes(_moved_avro(path.read_bytes(), moved))


def avro_blocks(data: bytes) -> list[bytes]:
    """The records of an Avro file, as the encoding has them: what can be searched for a text."""
    return _File(data).blocks


def _move_column(
    catalog: sqlite3.Connection, table: str, column: str, moved: Callable[[str], str]
) -> None:
    rows = catalog.execute(f"SELECT rowid, {column} FROM {table}").fetchall()  # noqa: S608
    changes = [(moved(text), row) for row, text in rows if text]
    catalog.executemany(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", changes)  # noqa: S608


def _mapped(value: Any, moved: Callable[[str], str]) -> Any:
    """JSON with each of its texts moved."""
    if isinstance(value, dict):
        return {name: _mapped(each, moved) for name, each in value.items()}
    if isinstance(value, list):
        return [_mapped(each, moved) for each in value]
    return moved(value) if isinstance(value, str) else value


class _File:
    """An Avro object container file."""

    def __init__(self, data: bytes) -> None:
        stream = io.BytesIO(data)
        assert stream.read(len(_MAGIC)) == _MAGIC
        self.facts: dict[str, bytes] = {}
        while count := _read_long(stream):
            assert count > 0
            for _ in range(count):
                name = _read_bytes(stream).decode()
                self.facts[name] = _read_bytes(stream)
        self.head = data[: stream.tell() + _SYNC_BYTES]
        self.sync = stream.read(_SYNC_BYTES)
        self.codec = self.facts.get("avro.codec", b"null").decode()
        self.counts: list[int] = []
        self.blocks: list[bytes] = []
        while stream.tell() < len(data):
            self.counts.append(_read_long(stream))
            packed = _read_bytes(stream)
            self.blocks.append(self._unpacked(packed))
            assert stream.read(_SYNC_BYTES) == self.sync

    def _unpacked(self, data: bytes) -> bytes:
        if self.codec == "null":
            return data
        assert self.codec == "deflate"
        return zlib.decompress(data, wbits=-zlib.MAX_WBITS)

    def _packed(self, data: bytes) -> bytes:
        if self.codec == "null":
            return data
        packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        return packer.compress(data) + packer.flush()

    def with_blocks(self, blocks: list[bytes]) -> bytes:
        """The file with other records in each of its blocks, just as many."""
        out = bytearray(self.head)
        for count, block in zip(self.counts, blocks, strict=True):
            packed = self._packed(block)
            out += _long(count) + _long(len(packed)) + packed + self.sync
        return bytes(out)


def _moved_avro(data: bytes, moved: Callable[[str], str]) -> bytes:
    file = _File(data)
    schema = json.loads(file.facts["avro.schema"])
    blocks = []
    for count, block in zip(file.counts, file.blocks, strict=True):
        records = _Records(block, moved)
        for _ in range(count):
            records.copy(schema)
        assert records.is_at_end
        blocks.append(bytes(records.out))
    return file.with_blocks(blocks)


class _Records:
    """Copies encoded values from one buffer to another by their schema; texts are moved."""

    def __init__(self, data: bytes, moved: Callable[[str], str]) -> None:
        self.out = bytearray()
        self._stream = io.BytesIO(data)
        self._size = len(data)
        self._moved = moved
        self._named: dict[str, Any] = {}
        self._manifest = ""

    @property
    def is_at_end(self) -> bool:
        """Whether everything was copied."""
        return self._stream.tell() == self._size

    def copy(self, schema: Any) -> None:
        """Copy one value."""
        if isinstance(schema, list):
            self.copy(schema[self._copy_long()])
        elif isinstance(schema, dict):
            self._copy_complex(schema)
        elif schema in self._named:
            self.copy(self._named[schema])
        elif schema in _WIDTHS:
            self.out += self._stream.read(_WIDTHS[schema])
        elif schema in {"int", "long"}:
            self._copy_long()
        elif schema == "bytes":
            self._put(_read_bytes(self._stream))
        else:
            assert schema == "string"
            self._copy_text()

    def _copy_complex(self, schema: dict[str, Any]) -> None:
        if "name" in schema:
            self._named[schema["name"]] = schema
        match schema["type"]:
            case "record":
                for field in schema["fields"]:
                    self._copy_field(field)
            case "array":
                self._copy_items(schema["items"])
            case "map":
                self._copy_items("string", schema["values"])
            case "fixed":
                self.out += self._stream.read(schema["size"])
            case "enum":
                self._copy_long()
            case plain:  # a primitive with a logical type, or another type in its place
                self.copy(plain)

    def _copy_field(self, field: dict[str, Any]) -> None:
        if field["name"] == "manifest_length":
            _read_long(self._stream)
            self.out += _long(Path(self._manifest.removeprefix("file://")).stat().st_size)
        elif field["name"] == "manifest_path":
            self._manifest = self._copy_text()
        else:
            self.copy(field["type"])

    def _copy_items(self, *schemas: Any) -> None:
        while count := _read_long(self._stream):
            if count < 0:  # its size in bytes follows, for who wants to skip it
                _read_long(self._stream)
            self.out += _long(abs(count))
            for _ in range(abs(count)):
                for schema in schemas:
                    self.copy(schema)
        self.out += _long(0)

    def _copy_long(self) -> int:
        number = _read_long(self._stream)
        self.out += _long(number)
        return number

    def _copy_text(self) -> str:
        text = self._moved(_read_bytes(self._stream).decode())
        self._put(text.encode())
        return text

    def _put(self, data: bytes) -> None:
        self.out += _long(len(data)) + data


def _read_long(stream: io.BytesIO) -> int:
    """A zig-zag number of seven bits a byte."""
    number = shift = 0
    while True:
        byte = stream.read(1)[0]
        number |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return (number >> 1) ^ -(number & 1)


def _read_bytes(stream: io.BytesIO) -> bytes:
    return stream.read(_read_long(stream))


def _long(number: int) -> bytes:
    rest = (number << 1) ^ (number >> 63)
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)
