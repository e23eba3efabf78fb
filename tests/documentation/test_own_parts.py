"""The store and the sink of the how-to pages pass the suites that the pages name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.documentation.collector import blocks

from crypto_lakehouse.core import PlainSink, Store
from crypto_lakehouse.testing import SinkSuite, StoreSuite


def defined(page: str) -> dict[str, Any]:
    """What the classes and functions of a page are, without the calls of its examples."""
    names: dict[str, Any] = {}
    for block in blocks():
        if block.place.startswith(page) and block.language == "python":
            exec(block.text.partition("\nreport = ")[0].partition("\nstore = ")[0], names)  # noqa: S102
    return names


class TestStoreOfThePage(StoreSuite):
    """docs/how-to/own-store.md."""

    names = defined("docs/how-to/own-store.md")

    def make_store(self) -> Store:
        store: Store = self.names["OwnStore"]()
        return store


class TestSinkOfThePage(SinkSuite):
    """docs/how-to/own-sinks.md."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.path = tmp_path / "events.jsonl"

    def make_sink(self) -> PlainSink:
        sink: PlainSink = defined("docs/how-to/own-sinks.md")["FileSink"](self.path)
        return sink
