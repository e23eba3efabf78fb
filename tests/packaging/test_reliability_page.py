"""Each promise of docs/reliability.md names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

_ROOT = Path(__file__).parents[2]

_PAGE = (_ROOT / "docs" / "reliability.md").read_text()


def named() -> list[str]:
    return sorted(set(re.findall(r"`((?:[a-z_]+/)+test_\w+\.py(?:::\w+)?)`", _PAGE)))


def test_every_test_that_is_named_is_there() -> None:
    for name in named():
        path, _, function = name.partition("::")
        text = (_ROOT / "tests" / path).read_text()
        assert not function or f"def {function}(" in text, name


def test_every_promise_names_what_holds_it() -> None:
    rows = [line for line in _PAGE.splitlines() if line.startswith("| ") and "promise" not in line]
    assert len(rows) > 25
    for row in rows:
        assert re.search(r"`(?:(?:[a-z_]+/)+test_|make soak)", row), row
