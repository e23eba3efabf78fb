"""What lies in quarantine: bytes that were not good, each with a note on why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import ArchiveKeyError, StoreError
from crypto_lakehouse.stores.directory import LocalStore

__all__ = ["Quarantined", "quarantined", "release"]

_NOTE = ".json"


@frozen
class Quarantined:
    """One archive's bytes in quarantine.

    Attributes:
        note: What was known when they were set aside; empty where it cannot be read.
    """

    archive: Archive
    note: dict[str, Any]

    @property
    def reason(self) -> str:
        """Why they were set aside."""
        verdict, reason = self.note.get("verdict", "?"), self.note.get("reason", "its note is gone")
        return f"{verdict}: {reason}"


def quarantined(store: LocalStore) -> Iterator[Quarantined]:
    """Everything in quarantine, in the order of keys; blocking. What is no archive is left out."""
    folder = store.own_path("quarantine")
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


def release(store: LocalStore, archive: Archive) -> None:
    """Remove an archive's bytes and note from quarantine, once a good version stands; blocking.

    Raises:
        StoreError: They cannot be removed.
    """
    path = Path(store.quarantine_path(archive.key))
    try:
        path.unlink(missing_ok=True)
        path.with_name(path.name + _NOTE).unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(str(path), error.strerror or str(error)) from error
