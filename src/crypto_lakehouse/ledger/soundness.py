"""Rows of a damaged ledger: which of them can be what a run wrote.

SQLite has no checksums. A flipped bit in a page's structure is an error of SQLite, sooner or
later; one in a value is not. A value that no run writes is recognised here, and the row is ignored:
an archive without a row is verified again. Values that are merely other ones are not recognised. A
file is trusted only if its size and its time are those of its row; that its digest is, `verify`
finds out, which hashes it. The digests of a verified row may differ, as the ETag can prove bytes
that the sidecar does not name.

A name whose period became another valid one is not recognised in `archives`: no file has the size
and time of that row, so it proves nothing, but `status` shows that period until it is collected or
verified. In `versions` it is, by the path of the kept bytes, which contains the key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from crypto_lakehouse.core.archive import Archive, Origin, Partition
from crypto_lakehouse.core.config.rules import url_fault
from crypto_lakehouse.core.errors import ArchiveKeyError
from crypto_lakehouse.core.fills import FillRow, FillVerdict
from crypto_lakehouse.core.finite_json import parse_finite
from crypto_lakehouse.core.kept import KEPT_FOLDER
from crypto_lakehouse.core.ledger_protocols import LedgerRow
from crypto_lakehouse.core.object_facts import ObjectFacts
from crypto_lakehouse.core.verdicts import Verdict

__all__ = [
    "LARGEST_BYTES",
    "VERDICTS",
    "UnsoundRow",
    "an_archive_in",
    "are_digests",
    "are_moments",
    "are_texts",
    "fill_rows",
    "is_archive",
    "is_fill",
    "is_kept_place",
    "is_run",
    "is_size",
    "is_version",
    "ledger_row",
    "parse_archive",
    "parse_selection",
    "sound_facts",
]

#: No row has a larger size: an archive is never larger than 16 GiB, and what a source lists may be.
LARGEST_BYTES = 1 << 50

VERDICTS = {str(verdict): verdict for verdict in Verdict}

_FILL_VERDICTS = frozenset(map(str, FillVerdict))

#: What ended a version.
_CHANGES = frozenset({"replaced", "restamped"})

#: What Python puts in the place of bytes that are not UTF-8.
_REPLACED = "\N{REPLACEMENT CHARACTER}"


_DIGEST = re.compile(r"[0-9a-f]{64}")

#: Times as runs write them: ISO 8601, with or without fractions of a second.
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:\d\d)?", re.ASCII)


class UnsoundRow(Exception):
    """A row has a value that no run writes.

    Attributes:
        key: The key that the row is of, or the folder, with its slash; empty if it is not known.
    """

    def __init__(self, reason: str, key: str = "") -> None:
        super().__init__(reason)
        self.key = key


def parse_archive(folder: object, name: object) -> Archive | None:
    """Return the archive of a row; None if the row's folder and name are not an archive's."""
    if not isinstance(folder, str) or not isinstance(name, str):
        return None
    try:
        return Archive.published(folder + name) if folder.endswith("/") else None
    except ArchiveKeyError:
        return None


def an_archive_in(folder: object) -> Archive | None:
    """Return an archive that a folder could contain; None if it is not a folder of archives."""
    if not isinstance(folder, str) or folder.count("/") < 5:
        return None
    parts = folder.split("/")
    depth = 3 if parts[1] == "futures" else 2
    partition, data_type, symbol, *interval = parts[depth:-1]
    period = "2020-01" if partition == Partition.MONTHLY else "2020-01-01"
    return parse_archive(folder, f"{symbol}-{(interval or [data_type])[0]}-{period}.zip")


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
    are_sound = is_size(facts[0]) and _is_number(facts[1]) and are_texts(facts[2:])
    return facts if are_sound and are_digests({facts.sha256, facts.published_sha256}) else None


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
        and isinstance(reason, str)
        and are_moments((first, last))
        and are_texts((newer_reason,))
        and (accepted is None or are_moments((accepted,)))
    )


def is_fill(row: Sequence[Any]) -> bool:
    """Whether a row of `fills`, all columns, can be what a run wrote."""
    folder, *values = row
    return bool(fill_rows(folder, [values]))


def fill_rows(folder: object, rows: Iterable[Sequence[Any]]) -> dict[str, FillRow]:
    """Return what the sound rows of a folder say, by name; a day without a row is asked for again.

    Args:
        folder: The key prefix.
        rows: Name, verdict, reason, number of rows, digest, completeness, proof, time, size and
            mark of each.
    """
    found: dict[str, FillRow] = {}
    for name, verdict, reason, count, sha256, complete, proven_by, at, size, mark in rows:
        if (
            _is_segment(folder, name)
            and verdict in _FILL_VERDICTS
            and all(isinstance(text, str) for text in (reason, proven_by))
            and isinstance(count, int)
            and count >= 0
            and are_texts((sha256,))
            and are_digests([sha256])
            and complete in (0, 1)
            and are_moments((at,))
            and all(each is None or isinstance(each, int) for each in (size, mark))
        ):
            found[name] = FillRow(
                verdict=FillVerdict(verdict), reason=reason, rows=count, sha256=sha256,
                complete=bool(complete), proven_by=proven_by,
                filled_at=datetime.fromisoformat(at), size_bytes=size, mark=mark,
            )  # fmt: skip
    return found


def _is_segment(folder: object, name: object) -> bool:
    if not isinstance(folder, str) or not isinstance(name, str) or not folder.endswith("/"):
        return False
    try:
        return Archive.parse(folder + name).origin is Origin.FILL
    except ArchiveKeyError:
        return False


def is_version(row: Sequence[Any]) -> bool:
    """Whether a row of `versions`, all columns, can be what a run wrote."""
    folder, name, change, changed_at, kept_as, verdict, size, *texts = row
    *facts, first, last = texts
    return (
        parse_archive(folder, name) is not None
        and change in _CHANGES
        and verdict in VERDICTS
        and are_moments((changed_at, first, last))
        and is_size(size)
        and are_texts((kept_as, *facts))
        and are_digests(facts[:2])
        and _REPLACED not in (kept_as or "")
        and is_kept_place(f"{folder}{name}", kept_as)
    )


def is_kept_place(key: str, kept_as: str | None) -> bool:
    """Whether bytes of an archive can be kept in a place; stores of applications choose their own.

    Otherwise the bytes of one archive would be taken for an earlier version of another, or those
    of a file outside the output.
    """
    if kept_as is None:
        return True
    if ".." in kept_as.split("/") or kept_as.startswith("/") or not kept_as.isprintable():
        return False
    if not kept_as.startswith(KEPT_FOLDER):
        return True
    return kept_as.startswith(f"{KEPT_FOLDER}{key}/")


def is_run(row: Sequence[Any]) -> bool:
    """Whether a row of `runs`, all columns, can be what a run wrote."""
    run_id, workflow, planned, started, finished, status, selection, *urls = row
    return (
        all(isinstance(text, str) for text in (run_id, workflow))
        and isinstance(planned, int)
        and are_moments((started,))
        and (finished is None or are_moments((finished,)))
        and are_texts((status, selection, *urls))
        and (selection is None or parse_selection(selection) is not None)
        and all(url is None or (_REPLACED not in url and not url_fault(url)) for url in urls)
    )


def parse_selection(text: str) -> Mapping[str, Any] | None:
    """Return the selection of a run, from its JSON; None if no run can have written it."""
    try:
        found = parse_finite(text)
    except ValueError:
        return None
    is_sound = isinstance(found, dict) and _REPLACED not in text
    return found if is_sound else None


def is_size(value: object) -> bool:
    """Whether a value is a size in bytes that a run may have written, or None."""
    return value is None or (isinstance(value, int) and 0 <= value <= LARGEST_BYTES)


def _is_number(value: object) -> bool:
    return value is None or isinstance(value, int)


def are_texts(values: Iterable[object]) -> bool:
    """Whether each value is a text or None."""
    return all(value is None or isinstance(value, str) for value in values)


def are_digests(values: Iterable[str | None]) -> bool:
    """Whether each text is a SHA-256 in lower-case hex, or None."""
    return all(value is None or _DIGEST.fullmatch(value) is not None for value in values)


def are_moments(values: Iterable[object]) -> bool:
    """Whether each value is the text of a time."""
    return all(isinstance(value, str) and _MOMENT.fullmatch(value) is not None for value in values)
