"""Ledgers that this user may only read: mounted read-only, or of somebody else."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.stores.conftest import ARCHIVE, FOLDER, NAME, OTHER, finished
from tests.unwritable import SOMEBODY, mounted_read_only

from crypto_lakehouse.core.errors import LedgerError
from crypto_lakehouse.ledger import read_only
from crypto_lakehouse.ledger.coverage_view import recorded_series
from crypto_lakehouse.ledger.history import versions_of
from crypto_lakehouse.ledger.refusals import refusal, unreadable
from crypto_lakehouse.ledger.sqlite import SqliteLedger


@pytest.fixture(params=["ledger.sqlite", "a b?mode=rwc#100%25.sqlite"])
def path(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A ledger of two archives, which is closed; not in pytest's directory, which is private."""
    with TemporaryDirectory() as place:
        path = Path(place).resolve() / "folder" / str(request.param)
        path.parent.mkdir()
        opened, _ = SqliteLedger.open(path)
        with closing(opened):
            opened.write([finished(), finished(archive=OTHER)])
        yield path


@pytest.fixture
def somebody(path: Path) -> Iterator[Callable[[], None]]:
    """Makes this process that of somebody who may only read, until the test ends."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    for parent in path.parents[:2]:
        parent.chmod(0o755)
    if not all(parent.stat().st_mode & 0o001 for parent in path.parents):
        pytest.skip("the directory for temporary files is private")

    def become() -> None:
        for each in path.parent.iterdir():
            each.chmod(0o644)
        os.seteuid(SOMEBODY)

    yield become
    os.seteuid(0)


@pytest.fixture
def read_only_mount() -> Iterator[Callable[[Path], None]]:
    """Mounts a folder as a file system that cannot be written, until the test ends."""
    with ExitStack() as mounted:
        yield lambda folder: mounted.enter_context(mounted_read_only(folder))


def journal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def leave_journal(path: Path, *, index: bool) -> None:
    """Write once more and leave the journal, as a killed run does."""
    opened, _ = SqliteLedger.open(path)
    opened.write([finished(sha256="c" * 64, published_sha256="c" * 64, change="replaced")])
    kept = {each: each.read_bytes() for each in path.parent.iterdir()}
    opened.close()
    for each, data in kept.items():
        if index or not each.name.endswith("-shm"):
            each.write_bytes(data)


def names(path: Path) -> list[str]:
    return sorted(each.name for each in path.parent.iterdir())


async def check_read(path: Path, versions: int) -> None:
    before = names(path)
    assert len([*recorded_series(path)]) == 2
    assert len(versions_of(path, ARCHIVE)) == versions
    with closing(SqliteLedger.open_read_only(path)) as ledger:
        assert list(await ledger.rows(FOLDER)) == [NAME]
    assert names(path) == before


async def test_a_reader_leaves_no_file_beside_a_ledger(path: Path) -> None:
    assert names(path) == [path.name]
    before = path.stat()
    await check_read(path, 1)
    after = path.stat()
    assert (after.st_mtime_ns, after.st_size) == (before.st_mtime_ns, before.st_size)


async def test_two_readers_leave_no_file_beside_a_ledger(path: Path) -> None:
    first, second = (read_only.connect_read_only(path) for _ in range(2))
    first.close()
    assert second.fetch("SELECT count(*) FROM archives") == [(2,)]
    second.close()
    assert names(path) == [path.name]


async def test_a_reader_leaves_the_journal_of_a_run(path: Path) -> None:
    """It has what is not in the ledger yet, whether the run goes on or was killed."""
    opened, _ = SqliteLedger.open(path)
    with closing(opened):
        opened.write([finished(sha256="c" * 64, published_sha256="c" * 64, change="replaced")])
        await check_read(path, 2)
    leave_journal(path, index=True)
    content = journal(path).read_bytes()
    await check_read(path, 3)
    assert journal(path).read_bytes() == content


async def test_a_ledger_of_somebody_else_is_read(path: Path, somebody: Callable[[], None]) -> None:
    somebody()
    await check_read(path, 1)


@pytest.mark.parametrize("index", [True, False])
async def test_the_journal_of_a_killed_run_of_somebody_else_is_read(
    path: Path, somebody: Callable[[], None], index: bool
) -> None:
    leave_journal(path, index=index)
    somebody()
    await check_read(path, 2)
    os.seteuid(0)
    assert not list(Path("/tmp").glob("crypto-lakehouse-*/ledger.sqlite"))


async def test_an_empty_journal_is_none(path: Path, somebody: Callable[[], None]) -> None:
    journal(path).touch()
    somebody()
    await check_read(path, 1)


async def test_a_run_of_somebody_else_can_be_watched(
    path: Path, somebody: Callable[[], None]
) -> None:
    opened, _ = SqliteLedger.open(path)
    with closing(opened):
        opened.write([finished(change="replaced")])
        somebody()
        await check_read(path, 2)
        os.seteuid(0)


async def test_what_is_written_while_it_is_read_without_a_lock_is_told(
    path: Path, somebody: Callable[[], None]
) -> None:
    somebody()
    with closing(read_only.connect_read_only(path)) as connection:
        assert connection.fetch("SELECT count(*) FROM archives") == [(2,)]
        os.seteuid(0)
        opened, _ = SqliteLedger.open(path)
        with closing(opened):
            opened.write([finished(change="replaced")])
            with pytest.raises(LedgerError, match="another program wrote to the ledger while it"):
                connection.fetch("SELECT count(*) FROM archives")


async def test_a_journal_that_cannot_be_copied_is_told(
    path: Path, somebody: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_source: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device")

    leave_journal(path, index=False)
    monkeypatch.setattr(shutil, "copyfile", full)
    somebody()
    with pytest.raises(LedgerError, match=r"unable to open .* no copy can be made: .*No space"):
        versions_of(path, ARCHIVE)


async def test_a_ledger_that_changes_while_it_is_copied_is_told(
    path: Path, somebody: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_journal(path, index=False)
    states = iter([1, 2])
    monkeypatch.setattr(read_only, "_state", lambda _path: next(states))
    somebody()
    with pytest.raises(LedgerError, match="another program wrote to the ledger"):
        versions_of(path, ARCHIVE)


def test_a_ledger_that_may_not_be_read_is_told(path: Path, somebody: Callable[[], None]) -> None:
    somebody()
    os.seteuid(0)
    path.chmod(0o600)
    os.seteuid(SOMEBODY)
    with pytest.raises(
        LedgerError, match=r"cannot be read: .*; let this user read it and the files beside"
    ):
        versions_of(path, ARCHIVE)


@pytest.mark.parametrize("index", [True, False])
async def test_a_ledger_on_a_file_system_that_is_read_only_is_read(
    path: Path, read_only_mount: Callable[[Path], None], index: bool
) -> None:
    leave_journal(path, index=index)
    read_only_mount(path.parent)
    await check_read(path, 2)


async def test_a_closed_ledger_on_such_a_file_system_is_read(
    path: Path, read_only_mount: Callable[[Path], None]
) -> None:
    read_only_mount(path.parent)
    await check_read(path, 1)


# Hints --------------------------------------------------------------------------------------------


def refused(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("refused")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    "code",
    [
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_IOERR_LOCK,
        sqlite3.SQLITE_IOERR_SHMMAP,
    ],
)
def test_what_a_network_file_system_does_to_locks_is_explained(path: Path, code: int) -> None:
    for error in (refusal(path, refused(code), "opened"), unreadable(path, refused(code))):
        assert "on a network file system (NFS, SMB)" in error.reason
        assert "move the output directory to a local disk" in error.reason
        assert "damaged" not in error.reason


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (sqlite3.SQLITE_FULL, "free some space"),
        (sqlite3.SQLITE_IOERR_WRITE, "disk is full, over a quota, or failing"),
        (sqlite3.SQLITE_IOERR_FSYNC, "its file system may not support fsync"),
        (sqlite3.SQLITE_IOERR_DIR_FSYNC, "move the output directory to another one"),
        (sqlite3.SQLITE_NOLFS, "its file system allows no file that large"),
        (sqlite3.SQLITE_READONLY, "let this user write it and the files beside it"),
        (sqlite3.SQLITE_INTERRUPT, "cannot be written: refused"),
    ],
)
def test_what_is_to_be_done_depends_on_the_fault(path: Path, code: int, hint: str) -> None:
    assert refusal(path, refused(code), "written").reason.count(hint) == 1


def test_a_folder_that_may_not_be_written_is_named(
    path: Path, somebody: Callable[[], None]
) -> None:
    somebody()
    with pytest.raises(LedgerError, match="let this user write it and the files beside it, in `"):
        SqliteLedger.open(path)
