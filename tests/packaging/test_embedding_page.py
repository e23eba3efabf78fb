"""The examples of docs/embedding.md run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import aiohttp

from crypto_lakehouse.testing import ArchiveServer

_PAGE = (Path(__file__).parents[2] / "docs" / "embedding.md").read_text()


def example(number: int) -> dict[str, Any]:
    """What the page's nth block of Python defines."""
    names: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", _PAGE, re.DOTALL)[number], names)  # noqa: S102
    return names


async def test_a_session_is_handed_over(archive_server: ArchiveServer, tmp_path: Path) -> None:
    config = {
        "output_directory": str(tmp_path),
        "source_url": archive_server.url,
        "markets": ["spot"],
        "symbols": ["BTCUSDT"],
        "data_types": ["trades"],
        "default_date": "2025-07-15",
    }
    await example(0)["collect"](config, aiohttp.TraceConfig())
    assert archive_server.count() == 2


async def test_aioresponses_takes_the_place_of_the_source(tmp_path: Path) -> None:
    await example(1)["test_my_pipeline"](tmp_path)
