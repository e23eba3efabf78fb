"""What a stored segment says of its day, for a ledger that does not describe it."""

from __future__ import annotations

import hashlib

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import SegmentError, StoreError
from crypto_lakehouse.core.events import FillFinished
from crypto_lakehouse.core.fills import FillVerdict
from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.core.protocols import Store
from crypto_lakehouse.segments.fill_rows import csv_rows
from crypto_lakehouse.segments.fill_segment import read_fill

__all__ = ["found_in_store"]

_SIDECAR_BYTES = 4096
_CHUNK_BYTES = 1 << 20


def found_in_store(store: Store, segment: Archive, stat: FileStat) -> FillFinished | None:
    """Return the verdict on a day whose segment is stored; blocking.

    Args:
        store: Has the segment.
        segment: The segment.
        stat: Its size and mark.

    Returns:
        None if the segment is not what its sidecar names, cannot be read, or is not complete.
    """
    try:
        with store.reader(segment.sidecar_key) as file:
            named = file.read(_SIDECAR_BYTES).decode("ascii", "replace").split()
        with store.reader(segment.key) as file:
            digest = hashlib.sha256()
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
        if named != [digest.hexdigest(), segment.name]:
            return None
        with store.reader(segment.key) as file:
            header, responses = read_fill(file, segment.key)
            if not header.complete:
                return None
            rows = sum(part.count(b"\n") for part in csv_rows(segment.series, header, responses))
    except (SegmentError, StoreError, OSError):
        return None
    return FillFinished(
        archive=segment,
        verdict=FillVerdict.FILLED,
        rows=rows,
        size_bytes=stat.size_bytes,
        mark=stat.mark,
        sha256=digest.hexdigest(),
        complete=True,
        proven_by=header.proven_by,
        at=header.filled_at,
        known=True,
    )
