"""What every store must do: the local one, and one in memory as an application may have."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.stores.memory import MemoryStore

from crypto_lakehouse.core.protocols import Store
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.testing import StoreSuite


class TestLocalStore(StoreSuite):
    """The output directory."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "out"

    def make_store(self) -> Store:
        return LocalStore(self.folder)


class TestMemoryStore(StoreSuite):
    """A store that has no paths."""

    def make_store(self) -> Store:
        return MemoryStore()


def test_a_suite_without_a_store_says_what_it_lacks() -> None:
    with pytest.raises(NotImplementedError, match="StoreSuite lacks `make_store`"):
        StoreSuite().make_store()
