"""The quarantine of a local store: bytes that failed a check, each with a note on the reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import ArchiveKeyError, StoreError
from crypto_lakehouse.core.kept import Quarantined

__all__ = ["quarantined_in", "remove_quarantined"]

_NOTE = ".json"


def quarantined_in(folder: Path) -> Iterator[Quarantined]:
    """Yield every archive in a quarantine, in the order of keys; blocking."""
    for path in sorted(folder.rglob("*.zip")):
        if not path.is_file():
            continue
        try:
            archive = Archive.parse(path.relative_to(folder).as_posix())
        except ArchiveKeyError:
            continue
        yield Quarantined(archive, _read_note(path.with_name(path.name + _NOTE)))


def _read_note(path: Path) -> dict[str, Any]:
    try:
        note = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def remove_quarantined(path: Path) -> None:
    """Remove an archive's bytes and note from quarantine; blocking.

    Raises:
        StoreError: They cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
        path.with_name(path.name + _NOTE).unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(str(path), error.strerror or str(error)) from error
