"""A compressed copy of a ledger is that ledger at one moment, whatever is written meanwhile."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import LedgerError
from crypto_lakehouse.core.events import ArchiveFinished, RunStarted
from crypto_lakehouse.core.object_facts import ObjectFacts
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.ledger import packing
from crypto_lakehouse.ledger.packing import CopyDamaged, pack, unpack
from crypto_lakehouse.ledger.schema import SCHEMA_VERSION
from crypto_lakehouse.ledger.sqlite import SqliteLedger

FOLDER = "data/spot/daily/klines/BTCUSDT/1h/"


def events(first: int, count: int) -> list[ArchiveFinished]:
    days = [datetime.fromordinal(738_000 + number).date() for number in range(first, first + count)]
    return [
        ArchiveFinished(
            archive=Archive.parse(f"{FOLDER}BTCUSDT-1h-{day}.zip"),
            verdict=Verdict.VERIFIED,
            facts=ObjectFacts(10, 20, "a" * 64),
        )
        for day in days
    ]


@pytest.fixture
def ledger(tmp_path: Path) -> SqliteLedger:
    (tmp_path / "state").mkdir()
    opened, _ = SqliteLedger.open(tmp_path / "state" / "ledger.sqlite")
    return opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (folder := tmp_path / "copying").mkdir()
    return folder


def test_a_copy_of_a_ledger_in_use_is_whole(ledger: SqliteLedger, folder: Path) -> None:
    ledger.write(events(0, 500))
    ledger.write([RunStarted(run_id="r", workflow="w", planned=1, at=datetime.now(UTC))])
    packed = pack(ledger.path, folder)
    ledger.write(events(500, 100))  # not in the copy
    ledger.close()
    assert [path.name for path in folder.iterdir()] == [packed.name]
    assert packed.stat().st_size < ledger.path.stat().st_size / 3
    plain = unpack(packed, "the copy")
    assert [path.name for path in folder.iterdir()] == [plain.name]
    copy, note = SqliteLedger.open(plain)
    assert (len(copy.rows_now(FOLDER)), copy.has_open_run(), note) == (500, True, "")
    copy.close()


def test_a_ledger_that_is_not_there_cannot_be_copied(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(LedgerError):
        pack(tmp_path / "absent", folder)


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda data: data[: len(data) // 2],
        lambda data: b"PK" + data,
        lambda data: data[:200] + bytes(100) + data[300:],
        lambda _: gzip.compress(b"SQLite is no ledger"),
    ],
)
def test_a_damaged_copy_is_found_out(ledger: SqliteLedger, folder: Path, damage: object) -> None:
    ledger.write(events(0, 50))
    packed = pack(ledger.path, folder)
    ledger.close()
    packed.write_bytes(damage(packed.read_bytes()))  # type: ignore[operator]
    with pytest.raises(CopyDamaged):
        unpack(packed, "the copy")


def bomb(header: bytes) -> bytes:
    """A small copy of 16 MiB of zeros behind a header."""
    return gzip.compress(header + bytes(16 << 20))


def test_a_copy_that_is_no_ledger_is_not_decompressed(folder: Path) -> None:
    (packed := folder / "ledger.sqlite.gz").write_bytes(bomb(b""))
    with pytest.raises(CopyDamaged, match="it is no SQLite file"):
        unpack(packed, "the copy")
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1 << 20


def test_a_copy_that_grows_too_much_is_not_kept(
    ledger: SqliteLedger, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "LEAST_LIMIT", 4 << 20)
    packed = pack(ledger.path, folder)
    ledger.close()
    packed.write_bytes(bomb(gzip.decompress(packed.read_bytes())[:100]))
    with pytest.raises(CopyDamaged, match="it has more than 4 MiB"):
        unpack(packed, "the copy")
    assert sum(path.stat().st_size for path in folder.iterdir()) < 5 << 20


def test_a_large_ledger_may_grow_as_its_copy_does(
    ledger: SqliteLedger, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "LEAST_LIMIT", 0)
    ledger.write(events(0, 5_000))
    packed = pack(ledger.path, folder)
    ledger.close()
    copy, note = SqliteLedger.open(unpack(packed, "the copy"))
    assert (len(copy.rows_now(FOLDER)), note) == (5_000, "")
    copy.close()


def test_a_copy_of_a_later_version_is_refused_by_name(ledger: SqliteLedger, folder: Path) -> None:
    packed = pack(ledger.path, folder)
    ledger.close()
    data = bytearray(gzip.decompress(packed.read_bytes()))
    data[60:64] = (SCHEMA_VERSION + 1).to_bytes(4, "big")
    packed.write_bytes(gzip.compress(data))
    with pytest.raises(LedgerError, match="`the copy`: it was written by a later version"):
        unpack(packed, "the copy")
