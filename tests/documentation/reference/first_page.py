"""The first page of the website, with the README's list of tasks."""

from __future__ import annotations

import re

from tests.documentation.collector import ROOT

__all__ = ["first_page", "tasks"]

_TABLE = re.compile(r"^\| I want to \|.*?(?=\n\n)", re.DOTALL | re.MULTILINE)

_HEAD = """# crypto-lakehouse

Collect the public Binance market-data archive, complete, verified, current and resumable, and use
it: this page leads to each task.

"""

_FOOT = """

The project's [README](../README.md) says what the program promises and how fast it is,
[ARCHITECTURE](../ARCHITECTURE.md) how it is built, and [CHANGELOG](../CHANGELOG.md) what has
changed.
"""


def tasks() -> str:
    """Return the README's table of tasks.

    Raises:
        AssertionError: The README has none.
    """
    found = _TABLE.search((ROOT / "README.md").read_text(encoding="utf-8"))
    assert found is not None, "README.md has no table that begins with `| I want to |`"
    return found[0]


def first_page() -> str:
    """Return the page; links to pages are relative to docs/."""
    table = tasks().replace("](docs/", "](")
    return _HEAD + re.sub(r"\]\((benchmarks/)", r"](../\1", table) + _FOOT
