"""`status --origins`: where archive, fill and live begin and end, and which segments there are."""

from __future__ import annotations

import json
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import anyio
import pytest
from attrs import evolve
from tests.cli.conftest import Shell, collect
from tests.segments.live_samples import RECEIVED_US, SAMPLES
from tests.segments.test_live_segment import NOON_US, writer
from tests.tables.sample_data import bars, put_segment
from tests.workflows.test_ingested_recordings import FIRST, PUBLISHED, publish, store
from tests.workflows.test_ingested_recordings import header as trades_header

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.testing import ArchiveServer


async def record(root: Path, market: Market, kind: StreamKind, minutes: int, *, end: bool) -> None:
    one = writer(LocalStore(root), market=market, kind=kind)
    at = NOON_US + minutes * 60_000_000
    one.write(at, 1, b"{}")
    await (one.close(at) if end else one.sync(at))


def test_ingested_recordings_are_shown_also_of_series_without_archives(
    shell: Shell, archive_server: ArchiveServer, tmp_path: Path
) -> None:
    shell(*collect(archive_server, "-i", "1h"))
    root = tmp_path / "out"
    kinds = {(Market.SPOT, StreamKind.KLINE), (Market.FUTURES_UM, StreamKind.MARK_PRICE)}
    for sample in SAMPLES:
        if (sample.market, sample.kind) in kinds and sample.connection:
            # Two segments have the same row.
            for hours in range(2):
                begun = sample.header.begun_at + timedelta(hours=hours)
                header = evolve(sample.header, begun_at=begun)
                store(root, header, [sample.message(RECEIVED_US)])
    store(root, trades_header("9f3c01ab22"), FIRST)
    publish(root, PUBLISHED)
    assert shell("ingest", "-o", "out")[0] == 0
    code, out, err = shell("status", "-o", "out", "--origins", "--json", "-s", "BTCUSDT")
    assert code == 0, err
    found = {
        (each["market"], each["data_type"], each["interval"]): each
        for each in json.loads(out)["origins"]
    }
    one_day = {"first": "2026-05-08", "last": "2026-05-08", "days": 1}
    assert {key: each["live"] for key, each in found.items()} == {
        ("spot", "klines", "1h"): None,
        ("spot", "klines", "1m"): one_day,
        ("spot", "trades", None): one_day,
        ("futures_um", "mark_price", None): one_day,
    }
    assert [key for key, each in found.items() if each["archive"]] == [("spot", "klines", "1h")]
    # Of the trades 0 to 2 of the archive, 1 was recorded as it is, and 2 with another price.
    score = {
        "day": "2026-05-08", "score": pytest.approx(1 / 3), "archive_rows": 3, "missing": 1,
        "differing": 1, "not_in_archive": 1,
    }  # fmt: skip
    assert {key: each["scores"] for key, each in found.items() if each["scores"]} == {
        ("spot", "trades", None): [score]
    }
    out = shell("status", "-o", "out", "--origins", "-t", "trades")[1]
    assert "33.33 % of 1 day; least 33.33 % on 2026-05-08" in " ".join(out.split())
    window = ["--start", "2026-05-09", "--end", "2026-05-10"]
    later = json.loads(shell("status", "-o", "out", "--origins", "--json", *window)[1])
    assert [each["live"] for each in later["origins"]] == [None]


def test_an_output_without_a_ledger_shows_its_recordings_and_filled_days(
    shell: Shell, tmp_path: Path
) -> None:
    root = tmp_path / "out"
    root.mkdir()
    code, _, err = shell("status", "-o", "out")
    assert (code, "has no ledger" in err) == (2, True)
    anyio.run(partial(record, root, Market.SPOT, StreamKind.AGG_TRADE, 0, end=False))
    for day in (8, 9, 11):
        put_segment(root, bars(date(2026, 5, day)))
    (root / "rest/spot/daily/klines/BTCUSDT/1h/a copy.jsonl.zst").write_bytes(b"")
    code, out, err = shell("status", "-o", "out", "--json")
    assert (code, "has no ledger" in err) == (0, True)
    report = json.loads(out)
    assert (report["series"], report["totals"]["series"]) == ([], 0)
    [filled] = report["origins"]
    assert filled["fill"] == {"first": "2026-05-08", "last": "2026-05-11", "days": 3}
    assert (filled["symbol"], filled["archive"], filled["live"]) == ("BTCUSDT", None, None)
    [recorded] = report["recordings"]
    assert (recorded["data_type"], recorded["segments"]) == ("aggTrades", 1)
    for options in ([], ["--origins"], ["--of", "published"], ["-t", "klines"]):
        code, out, _ = shell("status", "-o", "out", *options)
        assert code == 0
        assert "2026-05-08 to 2026-05-11, 3 days" in " ".join(out.split())
        assert ("aggTrades" in out) == ("klines" not in options)
    window = ["--start", "2026-05-09", "--end", "2026-05-10"]
    out = shell("status", "-o", "out", "--json", *window)[1]
    assert json.loads(out)["origins"][0]["fill"]["days"] == 1
    assert shell("status", "-o", "out", "--format", "keys")[:2] == (0, "")
    code, _, err = shell("status", "-o", "out", "--ledger", "postgresql://127.0.0.1:1/none")
    assert code != 0


def test_the_archive_and_the_segments_are_shown_with_their_ends(
    shell: Shell, archive_server: ArchiveServer, tmp_path: Path
) -> None:
    shell(*collect(archive_server, "-i", "1h"))
    root = tmp_path / "out"
    for minutes, end in ((0, True), (60, True), (125, False)):
        anyio.run(partial(record, root, Market.SPOT, StreamKind.AGG_TRADE, minutes, end=end))
    anyio.run(partial(record, root, Market.FUTURES_UM, StreamKind.DEPTH, 0, end=True))
    (root / "live/spot/aggTrade/2026-05-08/a copy.jsonl.zst").write_bytes(b"")
    code, out, err = shell("status", "-o", "out", "--origins", "--json")
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert report["origins"] == [
        {
            "market": "spot", "data_type": "klines", "symbol": "BTCUSDT", "interval": "1h",
            "archive": {"first": "2025-07-15", "last": "2025-07-15", "days": 1},
            "fill": None, "live": None, "scores": [],
        }
    ]  # fmt: skip
    assert report["recordings"] == [
        {
            "market": "futures_um", "data_type": "depth_updates", "segments": 1,
            "first": "2026-05-08T12:00:00+00:00", "last": "2026-05-08T12:00:00+00:00",
        },
        {
            "market": "spot", "data_type": "aggTrades", "segments": 3,
            "first": "2026-05-08T12:00:00+00:00", "last": "2026-05-08T14:05:00+00:00",
        },
    ]  # fmt: skip
    code, out, err = shell("status", "-o", "out", "--origins")
    assert (code, err) == (0, "")
    for words in ("2025-07-15 to 2025-07-15, 1 day", "depth_updates", "2026-05-08 14:05:00"):
        assert words in out
    code, out, _ = shell("status", "-o", "out", "--origins", "--markets", "spot", "-t", "klines")
    assert "aggTrades" not in out
    assert "origins" not in json.loads(shell("status", "-o", "out", "--json")[1])
    code, _, err = shell("status", "-o", "out", "--origins", "--holes")
    assert (code, "--origins has a table of its own" in err) == (2, True)
