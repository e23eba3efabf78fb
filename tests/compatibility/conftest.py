"""Output directories that earlier versions have left, and today's program to work on them."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import json
import os
import sys
import tarfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import define, frozen

from crypto_lakehouse import CollectionReport, WorkflowConfig, run_collection
from crypto_lakehouse.__main__ import main
from crypto_lakehouse.testing import ArchiveServer

DATA = Path(__file__).parents[1] / "data" / "v0_1_0"


@frozen
class Result:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)


@define
class Legacy:
    """What a version has left, at another place than where it was made.

    Attributes:
        place: Where it lies: `output`, `published`, and lakes beside them.
        expected: What that version said of it.
    """

    place: Path
    expected: dict[str, Any]

    @property
    def output(self) -> Path:
        """The output directory."""
        return self.place / "output"

    def published(self, key: str) -> bytes:
        """An object as it is published."""
        return (self.place / "published" / key).read_bytes()

    def quarantined(self) -> dict[str, bytes]:
        """Every archive in quarantine, by its key."""
        folder = self.output / ".lakehouse" / "quarantine"
        return {
            path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.zip")
        }

    def digests(self, *folders: str) -> dict[str, str]:
        """The digest of each file below some folders, but for those that SQLite has for readers."""
        return {
            path.relative_to(self.place).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for folder in folders
            for path in (self.place / folder).rglob("*")
            if path.is_file() and not path.name.endswith(("-wal", "-shm"))
        }

    def collect(self, server: ArchiveServer, **config: Any) -> CollectionReport:
        """Go on collecting, with nothing tried twice."""
        server.clear()
        place = {
            "output_directory": str(self.output),
            "source_url": server.url,
            "listing_url": server.url,
            "max_retries": 0,
        }
        return asyncio.run(run_collection(WorkflowConfig({**place, **config})))


def unpack(archive: Path, place: Path) -> None:
    """Unpack a tar, with its times to the nanosecond: the ledger knows files by them."""
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(archive.read_bytes()))) as tar:
        for member in tar:
            path = place / member.name
            if member.isdir():
                path.mkdir(parents=True)
                continue
            stream = tar.extractfile(member)
            assert stream is not None
            path.write_bytes(stream.read())
            seconds, _, rest = member.pax_headers["mtime"].partition(".")
            mtime_ns = int(seconds) * 1_000_000_000 + int(rest)
            os.utime(path, ns=(mtime_ns, mtime_ns))


@pytest.fixture(scope="session")
def recorded() -> dict[str, Any]:
    """What version 0.1.0 said of what it left."""
    found: dict[str, Any] = json.loads((DATA / "expected.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture
def legacy(tmp_path: Path, recorded: dict[str, Any]) -> Legacy:
    """What version 0.1.0 left."""
    place = tmp_path.resolve() / "left"
    unpack(DATA / "tree.tar.gz", place)
    return Legacy(place, recorded)


@pytest.fixture
def server(legacy: Legacy) -> Iterator[ArchiveServer]:
    """The publisher, with what was published then."""
    with ArchiveServer(generate=False) as server:
        for key, at in legacy.expected["published"].items():
            server.put(key, legacy.published(key), last_modified=datetime.fromisoformat(at))
        yield server


class Command:
    """Runs `crypto-lakehouse` in this process."""

    def __init__(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, place: Path
    ) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch
        self._place = place

    def __call__(self, *arguments: str | Path) -> Result:
        self._monkeypatch.chdir(self._place)
        self._monkeypatch.setattr(sys, "argv", ["crypto-lakehouse", *map(str, arguments)])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = self._capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Result(ended.value.code, printed.out, printed.err)


@pytest.fixture
def command(
    legacy: Legacy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    """The command, where `output` is what was left."""
    return Command(capsys, monkeypatch, legacy.place)
