"""What is recorded of an exchange, fetched messages included, has the rows of its archives."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from tests.live.recording import MARKETS, recording

from crypto_lakehouse.core.archive import Archive, Market
from crypto_lakehouse.core.data_types import data_type_of
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.live.streams import streams_of
from crypto_lakehouse.stores.local_files import LocalFiles
from crypto_lakehouse.tables.live.excerpts import Excerpt, Split, excerpt_text, split_segment
from crypto_lakehouse.tables.reading.batch import Batch, Source
from crypto_lakehouse.tables.reading.parse import frame_of
from crypto_lakehouse.tables.reading.reader import read_batches
from crypto_lakehouse.tables.schema.received import excerpt_columns
from crypto_lakehouse.tables.schema.schemas import schema_of
from crypto_lakehouse.testing import ExchangeServer, faults
from crypto_lakehouse.testing.exchange.archives import tape_archive

SYMBOLS = {Market.SPOT: "BTCUSDT", Market.FUTURES_UM: "BTCUSDT", Market.FUTURES_CM: "BTCUSD_PERP"}

#: Those that archives have, and whose missing messages are fetched.
FETCHED = (StreamKind.AGG_TRADE, StreamKind.TRADE, StreamKind.KLINE)


def published(exchange: ExchangeServer, excerpt: Excerpt, folder: Path) -> pl.DataFrame:
    """The rows of the archive of the day."""
    archive = Archive(excerpt.archive.series, excerpt.archive.period)
    path = folder / archive.key
    path.parent.mkdir(parents=True)
    path.write_bytes(tape_archive(exchange.tape, archive.key))
    batches = read_batches([Source(archive, LocalFiles(folder))], schema_of(archive), exact=True)
    return pl.concat(batch.frame for batch in batches if isinstance(batch, Batch))


@pytest.mark.parametrize("market", MARKETS)
async def test_recorded_rows_are_those_of_the_archive(market: Market, tmp_path: Path) -> None:
    streams = list(streams_of(market, FETCHED, [SYMBOLS[market]], ["1m"]))
    at = 30 if market is Market.SPOT else 100  # bars come more often on futures
    splits: dict[StreamKind, Split] = {}
    async with ExchangeServer() as exchange:
        path = "market/*" if market is Market.FUTURES_UM else "*"
        exchange.script_connection(f"{market}/{path}", faults.SkipMessages(at=at, count=2 * at))
        async with recording(exchange, tmp_path, streams) as recorded:
            await recorded.advance(170, 10)
        for key in recorded.stored:
            folder = tmp_path / str(len(splits))
            folder.mkdir()
            with recorded.store.reader(key + ".CHECKSUM") as file:
                sidecar = file.read()
            with recorded.store.reader(key) as file:
                split = split_segment(file, key, sidecar, folder)
            splits[split.header.kind] = split
        assert {stream.kind for stream in streams} == splits.keys()
        for kind, split in splits.items():
            [excerpt] = split.excerpts
            assert not split.bad
            assert excerpt.archive.data_type is data_type_of(kind)
            schema = schema_of(excerpt.archive)
            text = b"".join(excerpt_text(excerpt.path))
            rows = frame_of(text, excerpt.rows, excerpt_columns(schema), "us", exact=True)
            theirs = published(exchange, excerpt, tmp_path / f"published {kind}")
            key = schema.key[0]
            there = theirs.filter(pl.col(key).is_between(rows[key].min(), rows[key].max()))
            lacking = [column.name for column in schema.stored if not column.streamed]
            names = [name for name in theirs.columns if name not in lacking]
            assert rows.select(names).equals(there.select(names))
            for name in lacking:
                known = rows.filter(pl.col(name).is_not_null()).select(key, name)
                assert known.equals(there.join(known, on=key, how="semi").select(key, name))
    assert recorded.recorder.counts.filled
