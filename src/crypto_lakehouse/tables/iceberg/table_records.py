"""Which version of each table of a lake at a URL is the current one: an object for each table.

    <lake>/.lakehouse/tables/<namespace>.<table>.json

The object names the table's metadata. It is written with the condition that it is still the one
that the new version was made from, so that of two writers on two machines only one succeeds. The
catalog in the local folder follows it: if that is lost, or belongs to another machine, the tables
are found here.

A request that writes a record may arrive after its answer was given up: a proxy holds it, or the
store is slow. So if it is not known whether a version is recorded, nothing that it names may be
deleted. `settle` ends that: it writes the record again, with something in it that no other version
has. Its ETag is another one then, and a request that is still under way fails its condition.
Without that, the files would have to stay until they are old, and another run could not know
whether the rows that it is about to add come by themselves.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from contextlib import suppress

from attrs import frozen

from crypto_lakehouse.core.errors import LakeError, StoreError
from crypto_lakehouse.core.finite_json import parse_finite
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.errors import ConditionFailed

__all__ = ["RECORDS", "TableRecord", "TableRecords", "parsed_record", "record_bytes", "table_of"]

#: The folder of the records, below the lake.
RECORDS = ".lakehouse/tables/"
_SUFFIX = ".json"

_TABLE = re.compile(r"\w+\.\w+", re.ASCII)

#: More bytes than a record ever has.
_MOST_BYTES = 1 << 16


@frozen
class TableRecord:
    """The current version of a table.

    Attributes:
        metadata: The location of its metadata.
        previous: That of the version before; None for the first one.
        etag: The version of the record's object.
        copied_from: If the table was relocated from a lake in a directory, the location of its
            metadata before that. It stays in later versions of the record, so that what is left of
            the copy is known to be done.
    """

    metadata: str
    previous: str | None
    etag: str
    copied_from: str | None = None


@frozen
class TableRecords:
    """The records of one lake. Every method raises `StoreError` if the store fails."""

    client: ObjectClient

    def place(self, table: str) -> str:
        """Return the URL of a table's record, for messages."""
        return self.client.place(_key(table))

    def names(self) -> Iterator[str]:
        """Yield the full names of the tables that have a record."""
        for info in self.client.objects(RECORDS):
            name = table_of(info.key)
            if name is not None:
                yield name

    def read(self, table: str) -> TableRecord | None:
        """Return the record of a table; None if there is none.

        Raises:
            LakeError: It is no record.
        """
        if not _TABLE.fullmatch(table):
            return None  # no table has such a name
        found = self.client.read_small(_key(table), _MOST_BYTES)
        if found is None:
            return None
        info, data = found
        parsed = parsed_record(self.client.url, self.place(table), table, data or b"")
        return TableRecord(parsed[0], parsed[1], info.etag, parsed[2])

    def write(self, table: str, metadata: str, base: TableRecord | None) -> bool:
        """Record a new version of a table, as `replace` does; the one before it is its base."""
        return self.replace(table, metadata, None if base is None else base.metadata, base)

    def replace(
        self,
        table: str,
        metadata: str,
        previous: str | None,
        base: TableRecord | None,
        copied_from: str | None = None,
    ) -> bool:
        """Record which version of a table is the current one.

        Args:
            table: Its full name.
            metadata: The location of its metadata.
            previous: That of the version before; None for the first one.
            base: The record that this one replaces; None if there was none.
            copied_from: As the record has it; by default that of its base.

        Returns:
            Whether it is recorded; if not, another writer recorded a version first.

        Raises:
            StoreError: The store failed, and it is not known whether the version is recorded.
        """
        etag = None if base is None else base.etag
        copied_from = copied_from or (None if base is None else base.copied_from)
        try:
            self.client.put_if(
                _key(table), record_bytes(metadata, previous, copied_from), etag=etag
            )
        except ConditionFailed:
            return self._has(table, metadata)  # of an attempt whose answer was lost
        except StoreError:
            if self._has(table, metadata):
                return True
            raise
        return True

    def settle(self, table: str) -> None:
        """Make every request fail that was to replace the record, and has not arrived yet.

        What the record says afterwards is the outcome of all commits that were begun before. It
        says what it said; a table without a record has none to settle.

        Raises:
            LakeError: It is no record.
            StoreError: The store failed; a request may still arrive.
        """
        record = self.read(table)
        if record is None:
            return
        data = record_bytes(
            record.metadata, record.previous, record.copied_from, settled=uuid.uuid4().hex
        )
        # If the condition fails, another request has just replaced that version.
        with suppress(ConditionFailed):
            self.client.put_if(_key(table), data, etag=record.etag)

    def _has(self, table: str, metadata: str) -> bool:
        """Whether a version is recorded, or was until another writer made one of it."""
        found = self.read(table)
        return found is not None and metadata in {found.metadata, found.previous}


def table_of(key: str) -> str | None:
    """Return the table that an object below the lake is the record of; None if it is none."""
    name = key.removeprefix(RECORDS).removesuffix(_SUFFIX)
    return name if key == _key(name) and _TABLE.fullmatch(name) else None


def record_bytes(
    metadata: str, previous: str | None, copied_from: str | None = None, *, settled: str = ""
) -> bytes:
    """Return the bytes of a record.

    Args:
        metadata: As in `TableRecord`.
        previous: As in `TableRecord`.
        copied_from: As in `TableRecord`.
        settled: What makes the bytes differ from those of all other versions that name the same
            metadata; empty for the first one.
    """
    plain = {"metadata": metadata, "previous": previous}
    if copied_from is not None:
        plain["copied_from"] = copied_from
    if settled:
        plain["settled"] = settled
    return json.dumps(plain, ensure_ascii=False).encode()


def parsed_record(
    lake: str, place: str, table: str, data: bytes
) -> tuple[str, str | None, str | None]:
    """Return `metadata`, `previous` and `copied_from` of a record.

    Args:
        lake: The lake, for messages.
        place: The record, for messages.
        table: The full name of the table.
        data: The bytes of the record.

    Raises:
        LakeError: It is no record.
    """
    try:
        match parse_finite(data):
            case {"metadata": str(metadata), "previous": None | str() as previous, **more}:
                origin = more.get("copied_from")
                return metadata, previous, origin if isinstance(origin, str) else None
    except ValueError:
        pass
    reason = (
        f"`{place}` does not say which metadata of `{table}` is the current one; restore an "
        "earlier version of that object"
    )
    raise LakeError(lake, reason)


def _key(table: str) -> str:
    return f"{RECORDS}{table}{_SUFFIX}"
