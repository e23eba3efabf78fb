"""Quarantined bytes, each with a note on the reason: notes, and the quarantine of a directory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import ArchiveKeyError, StoreError
from crypto_lakehouse.core.finite_json import parse_finite
from crypto_lakehouse.core.kept import Quarantined
from crypto_lakehouse.stores.confined import files_below, remove_file

__all__ = ["note_bytes", "parse_note", "quarantined_in", "remove_quarantined"]

_NOTE = ".json"


def quarantined_in(root: Path, folder: Path) -> Iterator[Quarantined]:
    """Yield every archive in a quarantine, in the order of keys; blocking."""
    files = [Path(entry.path) for entry in files_below(str(root), str(folder))]
    for path in sorted(path for path in files if path.suffix == ".zip"):
        try:
            archive = Archive.published(path.relative_to(folder).as_posix())
        except ArchiveKeyError:
            continue
        yield Quarantined(archive, _read_note(path.with_name(path.name + _NOTE)))


def _read_note(path: Path) -> dict[str, Any]:
    try:
        return parse_note(path.read_bytes())
    except OSError:
        return {}


def note_bytes(note: Mapping[str, object]) -> bytes:
    """Return a note as it is stored beside quarantined bytes, in every store."""
    return (json.dumps(note, indent=2, ensure_ascii=False) + "\n").encode()


def parse_note(data: bytes) -> dict[str, Any]:
    """Return a stored note; empty if it is not one."""
    try:
        note = parse_finite(data)
    except ValueError:
        return {}
    return note if isinstance(note, dict) else {}


def remove_quarantined(root: Path, path: str) -> None:
    """Remove an archive's bytes and note from quarantine; blocking.

    Raises:
        StoreError: They cannot be removed, or a link leads to them.
    """
    try:
        remove_file(str(root), path)
        remove_file(str(root), path + _NOTE)
    except OSError as error:
        raise StoreError(path, error.strerror or str(error)) from error
