"""What a lake's catalog says if the file system under it refuses SQLite something."""

from __future__ import annotations

import errno
import sqlite3
from contextlib import closing
from pathlib import Path
from unittest.mock import Mock

import pytest

from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.tables.iceberg.catalog_errors import as_lake_errors


def refused(code: int) -> sqlite3.OperationalError:
    """SQLite's error, as if the file system had caused it."""
    error = sqlite3.OperationalError("refused")
    error.sqlite_errorcode = code
    return error


def raised_for(error: Exception) -> LakeError:
    with pytest.raises(LakeError) as raised, as_lake_errors("lake"):
        raise error
    return raised.value


def reason_of(error: Exception) -> str:
    return raised_for(error).reason


def test_a_catalog_that_another_program_holds_says_so(tmp_path: Path) -> None:
    place = tmp_path / "catalog.db"
    with closing(sqlite3.connect(place, isolation_level=None)) as holder:
        holder.execute("CREATE TABLE iceberg_tables (name)")
        holder.execute("BEGIN EXCLUSIVE")
        with (
            closing(sqlite3.connect(place, timeout=0)) as other,
            pytest.raises(LakeError) as raised,
            as_lake_errors(str(tmp_path)),
        ):
            other.execute("SELECT * FROM iceberg_tables")
    assert raised.value.reason.startswith(
        "`catalog.db` cannot be used: database is locked; another program holds it: end that"
    )
    assert "move the lake to a local disk" in raised.value.reason


def test_a_file_system_without_locks_is_not_taken_for_another_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(fcntl, "lockf", Mock(side_effect=OSError(errno.ENOLCK, "No locks")))
    with pytest.raises(LakeError) as raised, as_lake_errors(str(tmp_path)):
        raise refused(sqlite3.SQLITE_BUSY)
    assert raised.value.exit_code == 2
    assert "another program" not in raised.value.reason
    assert "move the lake to a local disk" in raised.value.reason


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (sqlite3.SQLITE_IOERR_LOCK, "if the lake is on a network file system (NFS, SMB)"),
        (sqlite3.SQLITE_IOERR_FSYNC, "its file system may not support fsync"),
        (sqlite3.SQLITE_IOERR_WRITE, "check whether the disk is full, over a quota, or failing"),
        (sqlite3.SQLITE_FULL, "free some space"),
        (sqlite3.SQLITE_READONLY, "let this user write it and the files beside it"),
    ],
)
def test_what_is_to_be_done_depends_on_the_fault(code: int, hint: str) -> None:
    assert hint in reason_of(refused(code))


def test_an_error_without_advice_is_told_as_it_is() -> None:
    assert reason_of(refused(sqlite3.SQLITE_INTERRUPT)) == "refused"


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), 2),
        (OSError(errno.EROFS, "Read-only file system"), 2),
        (OSError(errno.ENOSPC, "No space left on device"), 1),
        (refused(sqlite3.SQLITE_CANTOPEN), 2),
        (refused(sqlite3.SQLITE_PROTOCOL), 2),
        (refused(sqlite3.SQLITE_IOERR_LOCK), 2),
        (refused(sqlite3.SQLITE_FULL), 1),
        (ValueError("another error"), 1),
    ],
)
def test_a_place_that_cannot_be_used_has_the_exit_code_of_a_wrong_option(
    error: Exception, exit_code: int
) -> None:
    assert raised_for(error).exit_code == exit_code
