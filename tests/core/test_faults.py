"""An unforeseen error becomes one sentence, and its traceback a record of the log."""

from __future__ import annotations

import logging

import anyio
import pytest

from crypto_lakehouse.core.errors import (
    ConfigurationError,
    ListingError,
    SidecarMalformed,
    SinkError,
    StoreError,
    TransferError,
)
from crypto_lakehouse.core.faults import unforeseen


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:  # noqa: BLE001
        return caught


def test_the_sentence_names_the_error_and_the_log_has_the_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    error = raised(IndexError("no such\x1b index of https://me:hunter2@h/"))
    with caplog.at_level(logging.ERROR, "crypto_lakehouse"):
        reason = unforeseen(error, "data/x\n.zip")
    assert reason.startswith("unforeseen IndexError: no such\\x1b index")
    assert "--log-format" in reason
    (record,) = caplog.records
    assert "data/x\\n.zip" in record.getMessage()
    assert "in raised" in record.getMessage()
    assert "hunter2" not in record.getMessage() + reason


def test_an_error_without_a_text_is_named_by_its_type() -> None:
    assert unforeseen(raised(KeyError()), "x").startswith("unforeseen KeyError; ")


@pytest.mark.parametrize(
    "error",
    [
        ConfigurationError([]),
        SinkError("ledger", "full"),
        StoreError("/x", "full", stops_run=True),
        anyio.ClosedResourceError(),
        anyio.BrokenResourceError(),
    ],
)
def test_what_concerns_every_archive_passes(error: Exception) -> None:
    with pytest.raises(type(error)):
        unforeseen(error, "x")


@pytest.mark.parametrize(
    "error",
    [TransferError("http://h", "gone"), SidecarMalformed("k", "empty"), ListingError("p/", "no")],
)
def test_what_concerns_one_archive_does_not(error: Exception) -> None:
    assert type(error).__name__ in unforeseen(error, "x")
