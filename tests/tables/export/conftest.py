"""A lake whose rows are exported."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.tables.export.lakes import make_lake

from crypto_lakehouse.tables import Lake


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("exported")
    make_lake(root)
    return root


@pytest.fixture
def root(_made: Path, tmp_path: Path) -> Path:
    """A copy of an output with a lake, to be changed."""
    return Path(shutil.copytree(_made, tmp_path / "root"))


@pytest.fixture
def lake(_made: Path) -> Iterator[Lake]:
    """The lake, to be read."""
    with Lake.open(_made / "lake") as opened:
        yield opened
