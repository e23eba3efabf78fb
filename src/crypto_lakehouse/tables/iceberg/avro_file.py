"""Avro files as Iceberg's metadata has them: read and written again with some values changed.

Everything else stays as it is: schemas, properties and fields that this program does not know.
Source: Apache Avro 1.11 specification, "Binary encoding" and "Object container files".
"""

from __future__ import annotations

import bz2
import json
import zlib
from collections.abc import Iterator
from typing import Any

from attrs import define, field, frozen

__all__ = ["MOST_AVRO_BYTES", "AvroError", "AvroFile", "check_blocks", "check_end"]

_MAGIC = b"Obj\x01"
_SYNC_BYTES = 16

_WRONG_LENGTH = "a block has another length than it says"

#: The most bytes of a file after decompression.
MOST_AVRO_BYTES = 256 << 20

#: Values of a fixed number of bytes, which are copied.
_FIXED = {"null": 0, "boolean": 1, "float": 4, "double": 8}


class AvroError(ValueError):
    """A file is no Avro file, or uses what is not supported."""


@define
class _Input:
    data: bytes
    place: int = 0

    def take(self, count: int) -> bytes:
        end = self.place + count
        if not 0 <= count <= len(self.data) - self.place:
            raise AvroError("it ends early")
        taken = self.data[self.place : end]
        self.place = end
        return taken

    def long(self) -> int:
        number = shift = 0
        while True:
            byte = self.take(1)[0]
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return (number >> 1) ^ -(number & 1)
            shift += 7
            if shift > 63:
                raise AvroError("a number is too long")

    def sized(self) -> bytes:
        return self.take(self.long())

    @property
    def is_at_end(self) -> bool:
        return self.place == len(self.data)


def _long(number: int) -> bytes:
    left = (number << 1) ^ (number >> 63)
    out = bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    out.append(left)
    return bytes(out)


def _sized(data: bytes) -> bytes:
    return _long(len(data)) + data


@frozen
class _Codec:
    """Decodes and encodes values by a schema.

    A record is a dict, an array a list, a map a list of pairs, a union the number of its branch
    and the value, a string text, an int, a long or an enum a number, and anything else bytes.
    """

    names: dict[str, Any] = field(factory=dict)

    def decode(self, schema: Any, data: _Input) -> Any:
        kind, schema = self._resolved(schema)
        if kind == "union":
            branch = data.long()
            if not 0 <= branch < len(schema):
                raise AvroError("a union has no such branch")
            return branch, self.decode(schema[branch], data)
        if kind == "record":
            return {each["name"]: self.decode(each["type"], data) for each in schema["fields"]}
        if kind == "array":
            return [self.decode(schema["items"], data) for _ in _items(data)]
        if kind == "map":
            return [
                (data.sized().decode(), self.decode(schema["values"], data)) for _ in _items(data)
            ]
        if kind in {"int", "long", "enum"}:
            return data.long()
        if kind == "string":
            return data.sized().decode()
        return data.sized() if kind == "bytes" else data.take(_size(kind, schema))

    def encode(self, schema: Any, value: Any) -> bytes:
        kind, schema = self._resolved(schema)
        if kind == "union":
            return _long(value[0]) + self.encode(schema[value[0]], value[1])
        if kind == "record":
            fields = schema["fields"]
            return b"".join(self.encode(each["type"], value[each["name"]]) for each in fields)
        if kind == "array":
            return _block([self.encode(schema["items"], each) for each in value])
        if kind == "map":
            pairs = ((_sized(name.encode()), each) for name, each in value)
            return _block([name + self.encode(schema["values"], each) for name, each in pairs])
        if kind in {"int", "long", "enum"}:
            return _long(value)
        if kind == "string":
            return _sized(value.encode())
        return _sized(value) if kind == "bytes" else bytes(value)

    def _resolved(self, schema: Any) -> tuple[str, Any]:
        """The kind of a schema, and the schema that a name stands for."""
        if isinstance(schema, list):
            return "union", schema
        if isinstance(schema, str):
            return self._resolved(self.names[schema]) if schema in self.names else (schema, schema)
        kind = schema["type"]
        if isinstance(kind, dict | list):
            return self._resolved(kind)
        if "name" in schema and kind in {"record", "enum", "fixed"}:
            self.names[schema["name"]] = schema
        return (kind, schema) if kind not in self.names else self._resolved(kind)


def _size(kind: str, schema: Any) -> int:
    size = schema["size"] if kind == "fixed" else _FIXED.get(kind)
    if size is None:
        raise AvroError(f"a value is of the unknown type `{kind}`")
    return int(size)


def _items(data: _Input) -> Iterator[None]:
    """Count the items of an array or map, which comes in blocks."""
    while count := data.long():
        if count < 0:
            data.long()  # the size of the block in bytes
        yield from [None] * min(abs(count), len(data.data))


def _block(items: list[bytes]) -> bytes:
    return (_long(len(items)) + b"".join(items) if items else b"") + _long(0)


def _header(data: _Input, codec: _Codec) -> list[tuple[str, bytes]]:
    if data.take(len(_MAGIC)) != _MAGIC:
        raise AvroError("it is no Avro file")
    found: list[tuple[str, bytes]] = codec.decode({"type": "map", "values": "bytes"}, data)
    return found


def _blocks(data: _Input, sync: bytes) -> Iterator[tuple[int, bytes]]:
    """How many records each block has, and its bytes."""
    while not data.is_at_end:
        count, block = data.long(), data.sized()
        if data.take(_SYNC_BYTES) != sync:
            raise AvroError(_WRONG_LENGTH)
        yield count, block


def check_end(data: bytes) -> None:
    """Check that a file ends after a whole block, or after its header; no record is decoded.

    Raises:
        AvroError: It is no Avro file, or was cut within its header or a block.
    """
    file = _Input(data)
    try:
        _header(file, _Codec())
    except UnicodeDecodeError as error:
        raise AvroError(f"its header is damaged: {error}") from error
    for _ in _blocks(file, file.take(_SYNC_BYTES)):
        pass


def check_blocks(data: bytes, most: int) -> bool:
    """Whether the blocks of a file have at most so many bytes after decompression.

    Records are not decoded.

    Raises:
        AvroError: It is no Avro file, is damaged, or is compressed in an unknown way.
    """
    left, file = most, _Input(data)
    try:
        codec = dict(_header(file, _Codec())).get("avro.codec", b"null").decode()
        for count, block in _blocks(file, file.take(_SYNC_BYTES)):
            size = len(_unpacked(codec, block, left + 1))
            left -= size
            if left < 0:
                return False
            if count > max(size, len(data)):
                raise AvroError(_WRONG_LENGTH)
    except (zlib.error, OSError, EOFError, UnicodeDecodeError) as error:
        raise AvroError(f"it is damaged: {error}") from error
    return True


def _unpacked(codec: str, block: bytes, most: int) -> bytes:
    """The first bytes of a block after decompression, at most so many."""
    if codec == "null":
        return block[:most]
    if codec == "deflate":
        unpacker = zlib.decompressobj(-15)
        unpacked = unpacker.decompress(block, most)
        if not unpacker.eof and len(unpacked) < most:
            raise AvroError("a block is cut")
        return unpacked
    if codec == "bzip2":
        return bz2.BZ2Decompressor().decompress(block, most)
    if codec == "zstandard":
        from zstandard import ZstdDecompressor

        with ZstdDecompressor().stream_reader(block) as stream:
            return stream.read(most)
    raise AvroError(f"it is compressed with `{codec}`, which is not supported")


@define(eq=False)
class AvroFile:
    """The contents of one file.

    Attributes:
        records: Its records, by block, each a dict by field. The value of an optional field is a
            pair: the number of the branch of its union, and the value.
        properties: Its header.
    """

    records: list[list[dict[str, Any]]]
    properties: list[tuple[str, bytes]]
    _sync: bytes
    _schema: Any
    _codec: _Codec
    _is_deflated: bool

    @classmethod
    def read(cls, data: bytes) -> AvroFile:
        """Decode a file.

        Raises:
            AvroError: It is no Avro file, is damaged, or is compressed with another codec than
                deflate.
        """
        try:
            return cls._read(_Input(data))
        except AvroError:
            raise
        except (LookupError, TypeError, ValueError, RecursionError, zlib.error) as error:
            raise AvroError(f"it is damaged: {error}") from error

    @classmethod
    def _read(cls, data: _Input) -> AvroFile:
        codec = _Codec()
        properties = _header(data, codec)
        known = dict(properties)
        compression = known.get("avro.codec", b"null").decode()
        if compression not in {"null", "deflate"}:
            raise AvroError(f"it is compressed with `{compression}`, which is not supported")
        if not check_blocks(data.data, MOST_AVRO_BYTES):
            raise AvroError(f"it has more than {MOST_AVRO_BYTES >> 20} MiB when it is decompressed")
        sync = data.take(_SYNC_BYTES)
        schema = json.loads(known["avro.schema"])
        blocks = []
        for count, block in _blocks(data, sync):
            rows = _Input(_unpacked(compression, block, MOST_AVRO_BYTES))
            blocks.append([codec.decode(schema, rows) for _ in range(count)])
            if not rows.is_at_end:
                raise AvroError(_WRONG_LENGTH)
        return cls(blocks, properties, sync, schema, codec, compression == "deflate")

    def encoded(self) -> bytes:
        """The file with its records as they are now."""
        head = self._codec.encode({"type": "map", "values": "bytes"}, self.properties)
        out = [_MAGIC, head, self._sync]
        for block in self.records:
            rows = b"".join(self._codec.encode(self._schema, each) for each in block)
            if self._is_deflated:
                packer = zlib.compressobj(wbits=-15)
                rows = packer.compress(rows) + packer.flush()
            out += [_long(len(block)), _sized(rows), self._sync]
        return b"".join(out)
