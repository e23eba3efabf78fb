"""The responses of a large day are on disk, and make the segment that they would make in memory."""

from __future__ import annotations

import io
import tempfile
import tracemalloc
from contextlib import closing
from datetime import UTC, date, datetime

import pytest

from crypto_lakehouse.core.archive import DataType, Market, Series
from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.segments import kept_responses
from crypto_lakehouse.segments.fill_segment import (
    FillHeader,
    FillResponse,
    fill_key,
    read_fill,
    write_fill,
)
from crypto_lakehouse.segments.kept_responses import KeptResponses, temporary_file
from crypto_lakehouse.workflows.new_segment import write_segment

NOON = datetime(2026, 5, 8, 12, tzinfo=UTC)
HEADER = FillHeader(
    series=Series(Market.SPOT, DataType.AGG_TRADES, "BTCUSDT"), day=date(2026, 5, 7),
    complete=True, tool_version="", filled_at=NOON,
)  # fmt: skip


def response(number: int, size: int = 10) -> FillResponse:
    return FillResponse(
        url="https://exchange.example/api/v3/aggTrades", params={"fromId": str(number)},
        received_at=NOON, server_time=None, status=200, body=f"{number}" * size,
    )  # fmt: skip


def test_what_is_kept_makes_the_same_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_responses, "_IN_MEMORY", 1)
    responses = [response(number) for number in range(5)]
    with closing(KeptResponses()) as kept, temporary_file() as file, temporary_file() as other:
        assert (len(kept), list(kept)) == (0, [])
        for each in responses:
            kept.add(each)
        assert len(kept) == 5
        assert list(kept) == list(kept) == responses
        assert write_segment(file, HEADER, kept) == write_segment(other, HEADER, responses)
        file.seek(0)
        content = file.read()
    assert content == write_fill(HEADER, responses)
    found, read = read_fill(io.BytesIO(content), fill_key(HEADER.series, HEADER.day))
    assert (found, list(read)) == (HEADER, responses)


def test_memory_does_not_grow_with_the_day() -> None:
    with closing(KeptResponses()) as kept, temporary_file() as file:
        tracemalloc.start()
        try:
            for number in range(40):
                kept.add(response(number, 500_000))
            write_segment(file, HEADER, kept)
            assert kept.text_bytes > 30 << 20
            assert tracemalloc.get_traced_memory()[1] < 12 << 20
        finally:
            tracemalloc.stop()


def test_a_folder_of_temporary_files_that_cannot_be_written_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kept_responses, "_IN_MEMORY", 1)
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    with closing(KeptResponses()) as kept:
        kept.add(response(1))
        with pytest.raises(StoreError, match=r"is filled cannot be kept there: .*; set TMPDIR"):
            list(kept.text())
    with (
        temporary_file() as file,
        pytest.raises(StoreError, match="set TMPDIR to another folder") as refused,
    ):
        write_segment(file, HEADER, [response(1, 100_000)])
    assert refused.value.stops_run
