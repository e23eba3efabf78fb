"""Rows of a damaged ledger: which of them can be what a run wrote.

SQLite has no checksums. A flipped bit in a page's structure is an error of SQLite, sooner or
later; one in a value is not. A value that no run writes is recognised here, and the row is ignored:
an archive without a row is verified again. Values that are merely other ones, such as another size
or digest, do no harm: a file is trusted only if its size and its time are those of its row. The
digests of a verified row may differ, as the ETag can prove bytes that the sidecar does not name.

A name whose period became another valid one is not recognised in `archives`: no file has the size
and time of that row, so it proves nothing, but `status` shows that period until it is collected or
verified. In `versions` it is, by the path of the kept bytes, which contains the key.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.config.rules import url_fault
from crypto_lakehouse.core.errors import ArchiveKeyError
from crypto_lakehouse.core.kept import KEPT_FOLDER
from crypto_lakehouse.core.object_facts import ObjectFacts
from crypto_lakehouse.core.protocols import LedgerRow
from crypto_lakehouse.core.verdicts import Verdict

__all__ = [
    "VERDICTS",
    "UnsoundRow",
    "are_texts",
    "is_archive",
    "is_kept_place",
    "is_run",
    "is_version",
    "ledger_row",
    "parse_archive",
    "parse_selection",
    "sound_facts",
]

VERDICTS = {str(verdict): verdict for verdict in Verdict}

#: What ended a version.
_CHANGES = frozenset({"replaced", "restamped"})

#: What Python puts in the place of bytes that are not UTF-8.
_REPLACED = "\N{REPLACEMENT CHARACTER}"


class UnsoundRow(Exception):
    """A row has a value that no run writes."""


def parse_archive(folder: object, name: object) -> Archive | None:
    """Return the archive of a row; None if the row's folder and name are not an archive's."""
    if not isinstance(folder, str) or not isinstance(name, str):
        return None
    try:
        return Archive.parse(folder + name) if folder.endswith("/") else None
    except ArchiveKeyError:
        return None


def ledger_row(values: Sequence[Any]) -> LedgerRow | None:
    """Return what a row says of an archive; None if no run can have written the row.

    Args:
        values: Verdict, newer verdict, whether it was accepted, ETags of the newer version, and
            the seven facts.
    """
    verdict, newer, accepted, etag, sidecar_etag, *facts = values
    known = VERDICTS.get(verdict)
    is_newer_known = newer is None or newer in VERDICTS
    if known is None or not is_newer_known or not are_texts((etag, sidecar_etag)):
        return None
    found = sound_facts(facts)
    if found is None:
        return None
    return LedgerRow(known, found, VERDICTS.get(newer), accepted == 1, etag, sidecar_etag)


def sound_facts(values: Iterable[Any]) -> ObjectFacts | None:
    """Return the facts of a row; None if one of them is of another type."""
    facts = ObjectFacts._make(values)
    are_sound = _are_numbers(facts[:2]) and are_texts(facts[2:])
    return facts if are_sound else None


def is_archive(row: Sequence[Any]) -> bool:
    """Whether a row of `archives`, all columns, can be what a run wrote."""
    folder, name, verdict, reason, *rest = row
    facts, (first, last), (setag, newer, newer_reason, etag, newer_setag, accepted) = (
        rest[:6],
        rest[6:8],
        rest[8:],
    )
    values = (verdict, newer, accepted is not None, etag, newer_setag, *facts, setag)
    return (
        parse_archive(folder, name) is not None
        and ledger_row(values) is not None
        and all(isinstance(text, str) for text in (reason, first, last))
        and are_texts((newer_reason, accepted))
    )


def is_version(row: Sequence[Any]) -> bool:
    """Whether a row of `versions`, all columns, can be what a run wrote."""
    folder, name, change, changed_at, kept_as, verdict, size, *texts = row
    *facts, first, last = texts
    return (
        parse_archive(folder, name) is not None
        and change in _CHANGES
        and verdict in VERDICTS
        and all(isinstance(text, str) for text in (changed_at, first, last))
        and _are_numbers((size,))
        and are_texts((kept_as, *facts))
        and _REPLACED not in (kept_as or "")
        and is_kept_place(f"{folder}{name}", kept_as)
    )


def is_kept_place(key: str, kept_as: str | None) -> bool:
    """Whether bytes of an archive can be kept in a place; stores of applications choose their own.

    Otherwise the bytes of one archive would be taken for an earlier version of another.
    """
    if kept_as is None or not kept_as.startswith(KEPT_FOLDER):
        return True
    return kept_as.startswith(f"{KEPT_FOLDER}{key}/")


def is_run(row: Sequence[Any]) -> bool:
    """Whether a row of `runs`, all columns, can be what a run wrote."""
    run_id, workflow, planned, started, finished, status, selection, *urls = row
    return (
        all(isinstance(text, str) for text in (run_id, workflow, started))
        and isinstance(planned, int)
        and are_texts((finished, status, selection, *urls))
        and (selection is None or parse_selection(selection) is not None)
        and all(url is None or (_REPLACED not in url and not url_fault(url)) for url in urls)
    )


def parse_selection(text: str) -> Mapping[str, Any] | None:
    """Return the selection of a run, from its JSON; None if no run can have written it."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    is_sound = isinstance(found, dict) and _REPLACED not in text
    return found if is_sound else None


def _are_numbers(values: Iterable[object]) -> bool:
    return all(value is None or isinstance(value, int) for value in values)


def are_texts(values: Iterable[object]) -> bool:
    """Whether each value is a text or None."""
    return all(value is None or isinstance(value, str) for value in values)
