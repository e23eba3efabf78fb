"""A collection that fails before it has a plan leaves nothing on the disk."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from tests.workflows.conftest import Collection

from crypto_lakehouse.core.errors import (
    ConfigurationError,
    LakehouseError,
    ListingError,
    SelectionError,
)
from crypto_lakehouse.stores.state import StateFolder
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.testing.faults import Status


@pytest.fixture
def archive_server() -> Iterator[ArchiveServer]:
    start, end = date(2025, 7, 14), date(2025, 7, 16)
    with ArchiveServer(symbols=["BTCUSDT"], start=start, end=end) as server:
        yield server


@pytest.fixture
def listed(collection: Collection) -> Collection:
    collection.config |= {"discovery": "listing", "listing_url": collection.server.url}
    return collection


def below(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


FAILURES: list[tuple[dict[str, Any], type[LakehouseError]]] = [
    ({"symbols": ["NOSUCH"]}, SelectionError),
    ({"symbols": ["NO*"]}, SelectionError),
    ({"quote_assets": ["XYZ"]}, SelectionError),
    ({"symbols": ["BTCUSDT"], "max_retries": 0}, ListingError),
]


@pytest.mark.parametrize(("wrong", "error"), FAILURES)
async def test_no_folder_is_left_of_a_run_without_a_plan(
    listed: Collection, tmp_path: Path, wrong: dict[str, Any], error: type[LakehouseError]
) -> None:
    if error is ListingError:
        listed.server.inject("list:*", Status(503), endless=True)
    output = tmp_path / "new" / "deep" / "out"
    with pytest.raises(error):
        await listed.run(output_directory=str(output), **wrong)
    assert below(tmp_path) == []


async def test_what_was_there_before_stays(listed: Collection) -> None:
    listed.root.mkdir()
    (listed.root / "notes.txt").write_text("mine")
    with pytest.raises(SelectionError):
        await listed.run(symbols=["NOSUCH"])
    assert below(listed.root) == ["notes.txt"]
    report = await listed.run()
    assert report.totals["verified"] == 1
    before = below(listed.root)
    with pytest.raises(SelectionError):
        await listed.run(symbols=["NOSUCH"])
    assert below(listed.root) == before


async def test_a_run_with_an_empty_plan_has_begun(listed: Collection) -> None:
    report = await listed.run(default_date="2999-01-01")
    assert report.exit_code == 0
    assert (listed.root / ".lakehouse" / "ledger.sqlite").is_file()


def test_only_what_was_made_is_removed(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "a" / "out")
    made = state.make()
    assert made == (state.path, state.root, tmp_path / "a")
    state.ledger.touch()
    (state.path / "replaced").mkdir()
    state.unmake(made)
    assert below(tmp_path) == ["a", "a/out", "a/out/.lakehouse", "a/out/.lakehouse/replaced"]
    assert state.make() == ()
    state.ledger.touch()
    state.unmake(())
    assert state.ledger.exists()


def test_what_is_known_of_a_lease_stays(tmp_path: Path) -> None:
    """The note holds for this lock only. A ledger would hide the copy of another one."""
    state = StateFolder(tmp_path / "out")
    made = state.make()
    for path in (state.lock, state.lease, state.store_note, state.ledger, state.ledger_copy):
        path.touch()
    state.unmake(made)
    assert below(state.path) == ["lease.json", "lock"]


def test_a_link_that_takes_the_folders_place_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "lock").write_text("of another")
    state = StateFolder(tmp_path / "out")
    made = state.make()
    state.path.rmdir()
    state.path.symlink_to(other)
    state.unmake(made)
    assert below(tmp_path) == ["other", "other/lock", "out", "out/.lakehouse"]


async def test_no_folder_is_left_where_no_lock_can_be_had(
    listed: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")
    refusal = OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
    monkeypatch.setattr(fcntl, "flock", Mock(side_effect=refusal))
    with pytest.raises(ConfigurationError, match="has no locks"):
        await listed.run(output_directory=str(tmp_path / "new" / "out"))
    assert below(tmp_path) == []


async def test_the_folder_stays_where_only_this_run_can_have_no_lock(
    listed: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")
    refusal = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    monkeypatch.setattr(fcntl, "flock", Mock(side_effect=refusal))
    with pytest.raises(ConfigurationError, match="lock cannot be taken"):
        await listed.run(output_directory=str(tmp_path / "new"))
    assert below(tmp_path / "new") == [".lakehouse", ".lakehouse/lock"]
