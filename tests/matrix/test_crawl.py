"""A crawl of folders shows the symbols and intervals that a source has, and what is odd."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import date

import anyio
import pytest
from attrs import evolve, frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.matrix.matrices import symbols
from yarl import URL

from crypto_lakehouse.core.archive import INTERVALS, DataType, Market, Partition
from crypto_lakehouse.core.errors import ListingError, NoListing
from crypto_lakehouse.core.listed import ListingPage
from crypto_lakehouse.http.allowed_hosts import AllowedHosts
from crypto_lakehouse.http.client import engine_client
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.http.s3_listing import Lister
from crypto_lakehouse.http.transport import HttpTransport
from crypto_lakehouse.matrix.crawl import CrawledMatrix, CrawlProgress, crawl
from crypto_lakehouse.matrix.load import load_matrix, parse_matrix
from crypto_lakehouse.matrix.model import Matrix, MatrixRow
from crypto_lakehouse.matrix.writer import matrix_text
from crypto_lakehouse.testing import ArchiveServer, faults

TODAY = date(2026, 12, 1)
DAILY, MONTHLY = Partition.DAILY, Partition.MONTHLY

SPOT_KLINES = ("spot", "klines")
SPOT_TRADES = ("spot", "trades")
UM_BOOK_TICKER = ("futures_um", "bookTicker")
UM_LIQUIDATIONS = ("futures_um", "liquidationSnapshot")
CM_INDEX = ("futures_cm", "indexPriceKlines")


def base(*names: tuple[str, str]) -> Matrix:
    """The shipped matrix, cut down to these rows."""
    return evolve(load_matrix(), rows=tuple(row_of(load_matrix(), name) for name in names))


def row_of(matrix: Matrix, name: tuple[str, str]) -> MatrixRow:
    row = matrix.row(Market(name[0]), DataType(name[1]))
    assert row is not None
    return row


def holding(*folders: str) -> ArchiveServer:
    """A source with one object in each of these folders, and nothing else."""
    server = ArchiveServer(generate=False)
    for folder in folders:
        server.put(f"data/{folder}/object.zip", b"")
    return server


@asynccontextmanager
async def lister(server: ArchiveServer, retry: RetryPolicy) -> AsyncIterator[Lister]:
    """Lists a server for real."""

    async def nobody(_events: object) -> None:
        return None

    async with engine_client(8, 30) as client:
        yield Lister(
            transport=HttpTransport(client, AllowedHosts.of(server.url, ())),
            base=URL(server.url),
            retry=retry,
            limiter=anyio.Semaphore(8),
            emit=nobody,
        )


async def crawled(
    server: ArchiveServer, matrix: Matrix, *, workers: int = 4, retry: RetryPolicy | None = None
) -> CrawledMatrix:
    """Crawl a server that does not serve yet."""
    async with server, lister(server, retry or RetryPolicy(max_retries=0)) as listing:
        return await crawl(listing, matrix, today=TODAY, workers=workers)


async def test_a_crawl_lists_the_symbols_of_every_row_and_keeps_its_facts() -> None:
    matrix = load_matrix()
    result = await crawled(ArchiveServer(), matrix)
    assert result.notes == ()
    assert result.matrix.observed == TODAY
    assert [row.name for row in result.matrix.rows] == [row.name for row in matrix.rows]
    for old, new in zip(matrix.rows, result.matrix.rows, strict=True):
        assert evolve(new, symbols=old.symbols) == old
    assert row_of(result.matrix, SPOT_KLINES).symbols == (
        "1INCHBTC", "BTCUSDT", "ETHUSDT", "币安人生USDT",
    )  # fmt: skip
    assert row_of(result.matrix, CM_INDEX).symbols == ("BTCUSD", "ETHUSD")
    assert row_of(result.matrix, UM_LIQUIDATIONS).symbols == ()
    assert parse_matrix(matrix_text(result.matrix), matrix.origin) == result.matrix


async def test_a_crawl_lists_folders_only_each_once() -> None:
    server = ArchiveServer()
    result = await crawled(server, base(SPOT_KLINES, SPOT_TRADES))
    asked = [request.path for request in server.requests]
    assert {request.query["delimiter"] for request in server.requests} == {"/"}
    assert len(set(asked)) == len(asked) == result.listed
    assert asked.count("list:data/spot/daily/klines/BTCUSDT/") == 1
    assert not [path for path in asked if "trades/BTCUSDT" in path]
    assert server.count("list:data/option/*") == 0


async def test_symbols_are_those_of_both_partitions() -> None:
    server = holding(
        "spot/daily/klines/BTCUSDT/1h",
        "spot/daily/klines/BTCUSDT/1m",
        "spot/daily/klines/NEWUSDT/1m",
        "spot/monthly/klines/BTCUSDT/1mo",
        "spot/monthly/klines/LUNAUSDT/1d",
    )
    row = row_of((await crawled(server, base(SPOT_KLINES))).matrix, SPOT_KLINES)
    assert row.symbols == ("BTCUSDT", "LUNAUSDT", "NEWUSDT")
    assert row.partition_symbols == {DAILY: ("NEWUSDT",), MONTHLY: ("LUNAUSDT",)}
    assert row.partitions[DAILY].intervals == ("1m", "1h")
    assert row.partitions[MONTHLY].intervals == ("1d", "1mo")


async def test_pages_are_followed() -> None:
    names = [f"COIN{number:04}USDT" for number in range(1010)]
    server = holding(*(f"spot/daily/trades/{name}" for name in names))
    result = await crawled(server, base(SPOT_TRADES))
    assert row_of(result.matrix, SPOT_TRADES).symbols == tuple(names)


async def test_what_the_matrix_does_not_have_is_told_and_not_written() -> None:
    server = holding(
        "spot/daily/trades/BTCUSDT",
        "spot/monthly/trades/BTCUSDT",
        "spot/weekly/trades/BTCUSDT",
        "spot/daily/bookTicker/BTCUSDT",
        "spot/daily/novelty/BTCUSDT",
        "futures/um/daily/trades/BTCUSDT",
        "futures/um/daily/fundingRate/BTCUSDT",
        "futures/xm/daily/trades/BTCUSDT",
        "option/daily/BVOLIndex/BTCBVOLUSDT",
        "dex\u2028/daily/trades/BTCUSDT",
    )
    matrix = base(SPOT_TRADES, ("futures_um", "trades"), ("futures_um", "fundingRate"))
    result = await crawled(server, matrix)
    lacks = "that the matrix does not have"
    assert result.notes == (
        f"the source has `data/dex\\u2028/`, a market {lacks}",
        f"the source has `data/option/`, a market {lacks}",
        f"the source has `data/spot/daily/bookTicker/`, a data type {lacks}",
        f"the source has `data/spot/daily/novelty/`, a data type {lacks}",
        f"the source has `data/spot/weekly/`, a partition {lacks}",
        "the source has `data/futures/um/daily/fundingRate/`, a partition of "
        f"futures_um fundingRate {lacks}",
        f"the source has `data/futures/xm/`, a market {lacks}",
        "futures_um trades monthly: the source has no folder `data/futures/um/monthly/trades/` "
        "any more",
        "futures_um fundingRate monthly: the source has no folder "
        "`data/futures/um/monthly/fundingRate/` any more",
    )
    assert [row.name for row in result.matrix.rows] == [row.name for row in matrix.rows]


async def test_names_that_cannot_be_are_told_and_left_out() -> None:
    odd = ["A-USDT", "B USDT", "C.USDT", "D-USDT", "E-USDT"]
    server = holding(
        "spot/daily/klines/BTCUSDT/1h",
        "spot/daily/klines/BTCUSDT/7m",
        "spot/daily/klines/ETHUSDT/7m",
        "spot/daily/klines/ETHUSDT/1M",
        *(f"spot/daily/klines/{name}/1h" for name in odd),
    )
    result = await crawled(server, base(SPOT_KLINES))
    row = row_of(result.matrix, SPOT_KLINES)
    assert row.symbols == ("BTCUSDT", "ETHUSDT")
    assert row.partitions[DAILY].intervals == ("1h",)
    folder = "data/spot/daily/klines/"
    assert result.notes[1:] == (
        "spot klines daily: left out, as these are not symbols: "
        "`A-USDT`, `B USDT`, `C.USDT` and 2 more",
        f"spot klines daily: left out, as `1M` is not an interval: `{folder}ETHUSDT/1M/`",
        f"spot klines daily: left out, as `7m` is not an interval: `{folder}BTCUSDT/7m/`, "
        f"`{folder}ETHUSDT/7m/`",
    )


async def test_a_symbol_that_does_not_fit_the_rows_pattern_is_written_and_told() -> None:
    server = holding("spot/daily/trades/BTCUSDT_ODD", "spot/monthly/trades/BTCUSDT")
    result = await crawled(server, base(SPOT_TRADES))
    assert row_of(result.matrix, SPOT_TRADES).symbols == ("BTCUSDT", "BTCUSDT_ODD")
    assert result.notes == (
        "spot trades daily: symbols that do not fit the row's symbol_pattern: `BTCUSDT_ODD`",
    )


async def test_a_retired_feed_stays_until_its_folders_are_gone() -> None:
    held = holding(
        "spot/daily/trades/BTCUSDT",
        "spot/monthly/trades/BTCUSDT",
        "futures/um/daily/bookTicker/BTCUSDT",
        "futures/um/daily/bookTicker/SUIUSDT",
        "futures/um/monthly/bookTicker/BTCUSDT",
    )
    before = await crawled(held, base(SPOT_TRADES, UM_BOOK_TICKER))
    retired = row_of(before.matrix, UM_BOOK_TICKER)
    assert (before.notes, retired.state) == ((), "retired")
    assert retired.symbols == ("BTCUSDT", "SUIUSDT")

    for key in ("daily/bookTicker/BTCUSDT", "daily/bookTicker/SUIUSDT"):
        held.remove(f"data/futures/um/{key}/object.zip")
    half = await crawled(held, before.matrix)
    row = row_of(half.matrix, UM_BOOK_TICKER)
    assert half.notes == (
        "futures_um bookTicker daily: the source has no folder "
        "`data/futures/um/daily/bookTicker/` any more",
    )
    assert row.symbols == ("BTCUSDT",)
    assert row.partition_symbols == {MONTHLY: ("BTCUSDT",)}
    assert row.notes == (*retired.notes, "no daily folder is listed any more")
    assert row.partitions == retired.partitions

    held.remove("data/futures/um/monthly/bookTicker/BTCUSDT/object.zip")
    gone = await crawled(held, half.matrix)
    row = row_of(gone.matrix, UM_BOOK_TICKER)
    assert len(gone.notes) == 2
    assert row.symbols == ("BTCUSDT",), "what was known of it is kept"
    assert row.notes[-2:] == (
        "no daily folder is listed any more", "no monthly folder is listed any more",
    )  # fmt: skip
    again = await crawled(held, gone.matrix)
    assert again.matrix == gone.matrix

    held.put("data/futures/um/daily/bookTicker/BTCUSDT/object.zip", b"")
    back = row_of((await crawled(held, again.matrix)).matrix, UM_BOOK_TICKER)
    assert back.notes == (*retired.notes, "no monthly folder is listed any more")
    assert back.partition_symbols == {DAILY: ("BTCUSDT",)}


async def test_the_intervals_of_a_partition_that_is_gone_are_kept() -> None:
    server = holding("spot/daily/klines/BTCUSDT/1h", "spot/monthly/klines/BTCUSDT/unknown")
    row = row_of((await crawled(server, base(SPOT_KLINES))).matrix, SPOT_KLINES)
    assert row.partitions[MONTHLY].intervals == INTERVALS
    server = holding("spot/daily/klines/BTCUSDT/1h")
    row = row_of((await crawled(server, base(SPOT_KLINES))).matrix, SPOT_KLINES)
    assert row.partitions[MONTHLY].intervals == INTERVALS


async def test_a_removed_feed_that_is_back_is_told() -> None:
    server = holding(
        "futures/um/daily/trades/BTCUSDT", "futures/um/daily/liquidationSnapshot/BTCUSDT"
    )
    result = await crawled(server, base(UM_LIQUIDATIONS))
    assert result.notes[1:] == (
        "futures_um liquidationSnapshot daily: "
        "the matrix calls it removed, but the source lists it",
    )
    row = row_of(result.matrix, UM_LIQUIDATIONS)
    assert (row.state, row.symbols) == ("removed", ("BTCUSDT",))


async def test_a_source_without_folders_is_not_a_publisher_without_symbols() -> None:
    with pytest.raises(NoListing, match="no folders at all"):
        await crawled(ArchiveServer(generate=False), base(SPOT_TRADES))


@pytest.mark.parametrize(
    "prefix",
    [
        "data/",
        "data/spot/",
        "data/spot/daily/",
        "data/spot/daily/klines/",
        "data/spot/daily/klines/ETHUSDT/",
    ],
)
@pytest.mark.parametrize("workers", [1, 4])
async def test_what_cannot_be_listed_ends_the_crawl(
    prefix: str, workers: int, retry: RetryPolicy
) -> None:
    server = ArchiveServer()
    server.inject(f"list:{prefix}", faults.Status(503), endless=True)
    with pytest.raises(ListingError) as failed:
        await crawled(server, base(SPOT_KLINES), workers=workers, retry=retry)
    assert failed.value.prefix == prefix
    assert failed.value.exit_code == 5


async def test_what_fails_for_a_while_does_not(retry: RetryPolicy) -> None:
    server = ArchiveServer()
    server.inject("list:*", *(faults.Status(503) * 3))
    result = await crawled(server, base(SPOT_KLINES), retry=retry)
    assert len(row_of(result.matrix, SPOT_KLINES).symbols) == 4


async def test_no_more_prefixes_are_listed_at_once_than_there_are_workers() -> None:
    server = ArchiveServer()
    await crawled(server, base(SPOT_KLINES), workers=2)
    assert server.peak_concurrency <= 2


async def test_progress_ends_where_it_was_expected_to() -> None:
    steps: list[CrawlProgress] = []
    server = ArchiveServer()
    async with server, lister(server, RetryPolicy(max_retries=0)) as listing:
        result = await crawl(
            listing, base(SPOT_KLINES), today=TODAY, workers=2, on_progress=steps.append
        )
    assert [step.listed for step in steps] == list(range(1, result.listed + 1))
    assert all(step.listed <= step.expected for step in steps)
    assert steps[-1].expected == result.listed
    assert steps[0].prefix == "data/"


@frozen
class InMemory:
    """A listing of keys, for trees that are made up by the hundred."""

    keys: frozenset[str]

    def pages(
        self, prefix: str, *, after: str = "", delimiter: str = "", page_keys: int = 1000
    ) -> AsyncGenerator[ListingPage]:
        raise AssertionError("a crawl reads folders only")

    async def folders(self, prefix: str) -> list[str]:
        await anyio.lowlevel.checkpoint()
        below = [key.removeprefix(prefix) for key in self.keys if key.startswith(prefix)]
        return sorted({f"{prefix}{rest.partition('/')[0]}/" for rest in below if "/" in rest})


_PLACES = [
    (row.market, partition, row.data_type) for row in load_matrix().rows for partition in Partition
]
trees = st.frozensets(
    st.tuples(st.sampled_from(_PLACES), symbols, st.sampled_from([*INTERVALS, "7m"])), min_size=1
)


def keys_of(tree: Iterable[tuple[tuple[Market, Partition, DataType], str, str]]) -> frozenset[str]:
    return frozenset(
        f"data/{market.path}/{partition}/{data_type}/{symbol}/"
        + (f"{interval}/x.zip" if data_type.has_interval else "x.zip")
        for (market, partition, data_type), symbol, interval in tree
    )


@settings(max_examples=examples(40))
@given(trees, st.integers(1, 5))
def test_every_symbol_of_every_tree_is_found(
    tree: frozenset[tuple[tuple[Market, Partition, DataType], str, str]], workers: int
) -> None:
    async def run() -> CrawledMatrix:
        return await crawl(InMemory(keys_of(tree)), load_matrix(), today=TODAY, workers=workers)

    result = anyio.run(run)
    assert parse_matrix(matrix_text(result.matrix), result.matrix.origin) == result.matrix
    for row in result.matrix.rows:
        found = [
            (partition, symbol)
            for (market, partition, data_type), symbol, _ in tree
            if (market, data_type) == (row.market, row.data_type) and partition in row.partitions
        ]
        if not found:
            continue
        assert row.symbols == tuple(sorted({symbol for _, symbol in found}))
        for partition in row.partitions:
            others = {symbol for home, symbol in found if home is not partition}
            alone = {symbol for home, symbol in found if home is partition} - others
            expected = tuple(sorted(alone)) if len(row.partitions) > 1 else ()
            assert row.partition_symbols.get(partition, ()) == expected
