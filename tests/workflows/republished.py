"""One archive that its publisher publishes more than once, and what runs make of it."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

from attrs import define, field
from tests.workflows.conftest import (
    BIG_KEY,
    KEY,
    Collection,
    make_zip,
    member_of,
    sidecar_of,
)

from crypto_lakehouse.core.report import CollectionReport
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.testing import ArchiveServer

__all__ = ["MULTIPART", "SIZES", "Series", "is_good_zip", "version_of"]

#: The archive of each size: one that fits into memory, and one that is streamed.
SIZES = {"small": KEY, "large": BIG_KEY}

#: The ETag of an object that was uploaded in parts; it is no MD5.
MULTIPART = "0123456789abcdef0123456789abcdef-3"


def version_of(key: str, text: str) -> bytes:
    """A readable archive; a large one for `BIG_KEY`."""
    size = 2_000_000 if key == BIG_KEY else 0
    content = text.encode() + os.urandom(size)
    return make_zip(member_of(key), content, compression=zipfile.ZIP_STORED)


def is_good_zip(data: bytes, key: str) -> bool:
    """Whether the bytes are a whole archive of the key."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        return archive.namelist() == [member_of(key)] and archive.testzip() is None


@define
class Series:
    """A collection of one archive, planned from the source's listing.

    Attributes:
        versions: Each version that was published well, oldest first.
    """

    collection: Collection
    key: str
    versions: list[bytes] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        config = self.collection.config
        config["listing_url"] = self.server.url
        if self.key == BIG_KEY:
            config["data_types"] = ["trades"]
            del config["intervals"]

    @property
    def server(self) -> ArchiveServer:
        """The source."""
        return self.collection.server

    @property
    def name(self) -> str:
        """The archive's file name."""
        return self.key.rpartition("/")[2]

    @property
    def path(self) -> Path:
        """The archive's final name."""
        return self.collection.path(self.key)

    @property
    def beside(self) -> Path:
        """The sidecar's final name."""
        return self.collection.path(f"{self.key}.CHECKSUM")

    def publish(self, text: str = "", *, etag: str | None = None) -> bytes:
        """Publish another version with its sidecar."""
        data = version_of(self.key, text or f"version {len(self.versions)}")
        self.server.put(self.key, data, etag=etag)
        self.publish_sidecar(data)
        self.versions.append(data)
        return data

    def publish_sidecar(self, of: bytes) -> bytes:
        """Publish a sidecar that names the digest of some bytes."""
        line = sidecar_of(of, self.name)
        self.server.put(f"{self.key}.CHECKSUM", line)
        return line

    async def run(self, **changes: Any) -> Verdict:
        """Collect, and say what became of the archive; only this run's requests are counted."""
        self.server.clear()
        return self.verdict(await self.collection.run(**changes))

    async def report(self, **changes: Any) -> CollectionReport:
        """Collect; only this run's requests are counted."""
        self.server.clear()
        return await self.collection.run(**changes)

    @staticmethod
    def verdict(report: CollectionReport) -> Verdict:
        """The verdict on the one archive."""
        assert report.totals["planned"] == 1
        (found,) = [name for name, count in report.totals.items() if count and name != "planned"]
        return Verdict(found)

    def fetched(self) -> list[str]:
        """What the last run asked for beside listings: `zip` and `sidecar`, in order."""
        kinds = {self.key: "zip", f"{self.key}.CHECKSUM": "sidecar"}
        paths = self.collection.requested()
        return [kinds[path] for path in paths if not path.startswith("list:")]

    def holds(self, data: bytes) -> bool:
        """Whether the archive stands at its final name with its own sidecar, and all is tidy."""
        line = sidecar_of(data, self.name)
        return (
            self.path.read_bytes() == data
            and self.beside.read_bytes() == line
            and self.collection.stray_files() == []
        )

    def kept(self) -> list[bytes]:
        """The replaced versions, oldest first; each is checked against its name and sidecar."""
        folder = self.collection.root / ".lakehouse" / "replaced" / self.key
        found = sorted(folder.glob("*.zip"))
        for path in found:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            assert path.name.endswith(f"-{digest}.zip")
            line = Path(f"{path}.CHECKSUM")
            assert not line.exists() or line.read_bytes().split()[0].decode() == digest
        return [path.read_bytes() for path in found]

    def quarantined(self) -> bool:
        """Whether something of it is in quarantine."""
        return self.collection.quarantined(self.key).exists()

    def row(self) -> dict[str, Any]:
        """The ledger's row."""
        (row,) = self._query("SELECT * FROM archives")
        return row

    def history(self) -> list[dict[str, Any]]:
        """The ledger's earlier versions, oldest first."""
        return self._query("SELECT * FROM versions ORDER BY rowid")

    def _query(self, statement: str) -> list[dict[str, Any]]:
        ledger = self.collection.root / ".lakehouse" / "ledger.sqlite"
        with sqlite3.connect(ledger) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(statement)]

    def lose_ledger(self) -> None:
        """Remove the ledger; files and sidecars stay."""
        for path in (self.collection.root / ".lakehouse").glob("ledger.sqlite*"):
            path.unlink()

    def with_ledger_of_now(self) -> Callable[[], None]:
        """Copy the ledger; return what puts the copy in its place."""
        ledger = self.collection.root / ".lakehouse" / "ledger.sqlite"
        data = ledger.read_bytes()

        def restore() -> None:
            self.lose_ledger()
            ledger.write_bytes(data)

        return restore

    def alter(self, statement: str, *values: str) -> None:
        """Change the ledger by hand."""
        ledger = self.collection.root / ".lakehouse" / "ledger.sqlite"
        with closing(sqlite3.connect(ledger)) as connection, connection:
            connection.execute(statement, values)
