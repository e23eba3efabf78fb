"""Small facts in the state folder that a run remembers for the next one, as JSON.

A note that is absent, damaged or cannot be written costs a request or a wait, never more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from crypto_lakehouse.core.finite_json import parse_finite
from crypto_lakehouse.stores.whole_file import part_file

__all__ = ["forget", "recall", "remember"]

_MOST_BYTES = 10_000


def remember(path: Path, facts: Mapping[str, Any]) -> None:
    """Write a note; a link in its place is replaced, not followed; blocking."""
    with suppress(OSError), part_file(path) as part:
        part.file.write(json.dumps(facts).encode())
        part.commit()


def recall(path: Path) -> dict[str, Any]:
    """Return what a note says; empty if there is none; blocking."""
    with suppress(OSError, ValueError):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                found = parse_finite(file.read(_MOST_BYTES))
            return found if isinstance(found, dict) else {}
    return {}


def forget(path: Path) -> None:
    """Remove a note, if there is one; blocking."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
