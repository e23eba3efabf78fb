"""A worker proves that it has the run's directory before it reads archives there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from crypto_lakehouse.core.errors import ConfigurationError
from crypto_lakehouse.stores.output import output_of
from crypto_lakehouse.workflows.wiring.item_messages import ArchivesPlace


@pytest.fixture
def place(tmp_path: Path) -> ArchivesPlace:
    (tmp_path / "data").mkdir()
    return ArchivesPlace.of(output_of(str(tmp_path)), with_credentials=False)


def test_the_same_directory_is_opened(place: ArchivesPlace, tmp_path: Path) -> None:
    assert place.open().place == str(tmp_path)


def test_a_disk_of_the_same_number_is_refused(place: ArchivesPlace, tmp_path: Path) -> None:
    """The root of a disk has the same number on every machine."""
    os.utime(tmp_path / "data", ns=(0, 0))
    with pytest.raises(ConfigurationError, match="is not the output directory of the run"):
        place.open()


def test_a_directory_without_archives_is_refused(place: ArchivesPlace, tmp_path: Path) -> None:
    (tmp_path / "data").rmdir()
    with pytest.raises(ConfigurationError, match="mount it"):
        place.open()


def test_a_directory_without_archives_in_the_run_has_none_in_a_worker(tmp_path: Path) -> None:
    place = ArchivesPlace.of(output_of(str(tmp_path)), with_credentials=False)
    assert place.open().place == str(tmp_path)
    (tmp_path / "data").mkdir()
    with pytest.raises(ConfigurationError):
        place.open()
