"""The values that cross the seams."""

from __future__ import annotations

import pytest

from crypto_lakehouse.core.protocols import FileStat, LedgerRow, PartRow
from crypto_lakehouse.core.verdicts import Verdict


def row(size_bytes: int | None, mtime_ns: int | None) -> LedgerRow:
    return LedgerRow(
        verdict=Verdict.VERIFIED,
        size_bytes=size_bytes,
        mtime_ns=mtime_ns,
        sha256=None,
        published_sha256=None,
        etag=None,
        last_modified=None,
    )


@pytest.mark.parametrize(
    ("size_bytes", "mtime_ns", "same"),
    [(7, 10, True), (8, 10, False), (7, 11, False), (None, 10, False), (None, None, False)],
)
def test_a_row_describes_only_the_file_it_was_written_for(
    size_bytes: int | None, mtime_ns: int | None, same: bool
) -> None:
    assert row(size_bytes, mtime_ns).describes(FileStat(7, 10)) is same


def test_an_unfinished_body_is_known_by_its_validators() -> None:
    assert PartRow(etag='"e"', last_modified=None, size_bytes=7) == PartRow(
        etag='"e"', last_modified=None, size_bytes=7
    )
