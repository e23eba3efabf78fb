"""Read a folder's listing, over HTTP, as far as a window of days needs it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date

import pytest
from tests.http.listers import listing

from crypto_lakehouse.core.archive import DataType, Market, Partition, Period, Series
from crypto_lakehouse.core.errors import ListingError
from crypto_lakehouse.core.listed import ListedArchive
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.planning.listed_folders import ListedFolder, is_silent, list_folder
from crypto_lakehouse.planning.periods import Window
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.testing.faults import Headers, Status

TODAY = date(2025, 10, 1)
DAILY, MONTHLY = Partition.DAILY, Partition.MONTHLY
HOURS = Series(Market.SPOT, DataType.KLINES, "BTCUSDT", "1h")
FOLDERS = {partition: HOURS.folder(partition) for partition in Partition}


class Source:
    """An archive that holds what it is given, and a look at what it lists of a series."""

    def __init__(self, server: ArchiveServer, retry: RetryPolicy) -> None:
        self.server = server
        self._retry = retry

    def hold(self, first: str, last: str, series: Series = HOURS) -> None:
        """Publish every archive from the first to the last period."""
        begin, end = Period.parse(first), Period.parse(last)
        window = Window(begin.first_day, end.last_day, TODAY)
        for period in window.days() if begin.partition is DAILY else window.months():
            folder = series.folder(period.partition)
            self.server.publish(f"{folder}{series.stem}{period}.zip", period.text.encode())

    async def look(
        self,
        *window: str,
        partition: Partition = DAILY,
        series: Series = HOURS,
        today: date = TODAY,
    ) -> ListedFolder:
        """List the days from the first to the last, or all."""
        ends = [date.fromisoformat(text) for text in window]
        days = Window(ends[0], ends[1], today) if window else None
        async with listing(self.server.url, self._retry) as lister:
            return await list_folder(lister, series, partition, days)

    @property
    def queries(self) -> list[tuple[str, str]]:
        """The marker, without its folder, and the page size of each request."""
        return [
            (request.query.get("marker", "").rpartition("/")[2], request.query["max-keys"])
            for request in self.server.requests
        ]


@pytest.fixture
async def source(retry: RetryPolicy) -> AsyncIterator[Source]:
    """An archive that holds nothing yet."""
    async with ArchiveServer(generate=False) as server:
        yield Source(server, retry)


def texts(folder: ListedFolder) -> list[str]:
    return [period.text for period in folder.archives]


def ends(folder: ListedFolder) -> tuple[str, str]:
    return str(folder.first), str(folder.last)


# The whole folder -------------------------------------------------------------------------------


async def test_without_a_window_the_whole_folder_is_read(source: Source) -> None:
    source.hold("2025-06-28", "2025-07-02")
    folder = await source.look()
    assert texts(folder) == ["2025-06-28", "2025-06-29", "2025-06-30", "2025-07-01", "2025-07-02"]
    assert ends(folder) == ("2025-06-28", "2025-07-02")
    assert source.queries == [("", "1000")]


async def test_a_folder_of_many_pages_is_read_to_its_end(source: Source) -> None:
    source.hold("2023-01-01", "2024-12-31")
    folder = await source.look()
    assert len(folder.archives) == 731
    assert ends(folder) == ("2023-01-01", "2024-12-31")
    assert len(source.queries) == 2


async def test_what_is_listed_of_an_archive_is_kept(source: Source) -> None:
    key = f"{FOLDERS[DAILY]}BTCUSDT-1h-2025-07-15.zip"
    source.server.put(key, b"12345", etag="0a")
    source.server.put(f"{key}.CHECKSUM", b"...", etag="0b")
    folder = await source.look()
    assert folder.archives == {
        Period.parse("2025-07-15"): ListedArchive(
            size_bytes=5,
            etag='"0a"',
            last_modified="2025-07-16T08:06:34.000Z",
            sidecar_etag='"0b"',
            sidecar_bytes=3,
        )
    }
    assert folder.size_bytes == 5


async def test_an_archive_without_a_sidecar_is_listed(source: Source) -> None:
    source.server.put(f"{FOLDERS[DAILY]}BTCUSDT-1h-2025-07-15.zip", b"12345")
    (archive,) = (await source.look()).archives.values()
    assert archive.sidecar_etag is None


@pytest.mark.parametrize("window", [(), ("2025-07-15", "2025-07-15")])
async def test_a_folder_that_does_not_exist_is_empty(
    source: Source, window: tuple[str, ...]
) -> None:
    assert await source.look(*window) == ListedFolder(archives={})


# A window of it ---------------------------------------------------------------------------------


async def test_one_request_finds_a_window_in_the_middle_of_a_folder(source: Source) -> None:
    source.hold("2025-01-01", "2025-09-30")
    folder = await source.look("2025-07-15", "2025-07-17")
    assert source.queries == [("BTCUSDT-1h-2025-07-15", "8")]
    assert texts(folder) == ["2025-07-15", "2025-07-16", "2025-07-17", "2025-07-18"]
    assert (folder.first, folder.last, folder.ended_before) == (None, None, False)


async def test_one_request_finds_the_months_of_a_window(source: Source) -> None:
    source.hold("2024-01", "2025-08")
    folder = await source.look("2024-05-31", "2024-07-01", partition=MONTHLY)
    assert source.queries == [("BTCUSDT-1h-2024-05", "8")]
    assert texts(folder)[:3] == ["2024-05", "2024-06", "2024-07"]


async def test_the_last_archive_of_a_window_comes_with_its_sidecar(source: Source) -> None:
    source.hold("2025-01-01", "2025-07-20")
    for number in range(4):  # what pushes sidecars from their zips' page
        source.server.put(f"{FOLDERS[DAILY]}BTCUSDT-1h-2025-07-15-{number}.zip", b"?")
    folder = await source.look("2025-07-15", "2025-07-17")
    wanted = [archive for period, archive in folder.archives.items() if period.first_day.day < 18]
    assert len(wanted) == 3
    assert all(archive.sidecar_etag for archive in wanted)


async def test_windows_of_more_days_than_a_page_holds_are_read_page_by_page(
    source: Source,
) -> None:
    source.hold("2023-01-01", "2025-01-31")
    folder = await source.look("2023-02-01", "2024-12-31")
    assert len([text for text in texts(folder) if "2023-02-01" <= text <= "2024-12-31"]) == 700
    assert [size for _, size in source.queries] == ["1000", "1000"]


async def test_the_first_archive_is_looked_up_where_the_window_begins_before_it(
    source: Source,
) -> None:
    source.hold("2025-07-16", "2025-09-30")
    folder = await source.look("2025-07-15", "2025-07-17")
    assert ends(folder) == ("2025-07-16", "None")
    assert source.queries == [("BTCUSDT-1h-2025-07-15", "8"), ("", "2")]


async def test_the_last_archive_is_known_where_the_listing_ends(source: Source) -> None:
    source.hold("2025-07-01", "2025-07-16")
    folder = await source.look("2025-07-15", "2025-07-17")
    assert (folder.first, str(folder.last), folder.ended_before) == (None, "2025-07-16", False)


async def test_a_folder_that_begins_behind_the_window_has_not_ended_before_it(
    source: Source,
) -> None:
    source.hold("2025-08-01", "2025-09-30")
    folder = await source.look("2025-07-15", "2025-07-17")
    assert ends(folder) == ("2025-08-01", "None")
    assert not folder.ended_before


# The end of a series ----------------------------------------------------------------------------


async def test_a_series_that_ended_before_a_window_of_long_ago(source: Source) -> None:
    source.hold("2024-01-01", "2024-02-01")
    folder = await source.look("2025-07-15", "2025-07-17")
    assert folder == ListedFolder(archives={}, first=Period.parse("2024-01-01"), ended_before=True)
    assert len(source.queries) == 2


@pytest.mark.parametrize(
    ("last", "ended"), [("2025-08-27", False), ("2025-08-26", True), ("2024-01-01", True)]
)
async def test_a_window_of_today_asks_whether_the_series_was_silent_before_it(
    source: Source, last: str, *, ended: bool
) -> None:
    source.hold("2024-01-01", last)
    folder = await source.look("2025-09-28", "2025-09-30")
    assert (str(folder.last), folder.ended_before) == ("None" if ended else last, ended)
    assert source.queries[-1][0] == "BTCUSDT-1h-2025-08-27"


@pytest.mark.parametrize(("last", "ended"), [("2025-07", False), ("2025-06", True)])
async def test_months_are_silent_a_month_later_than_days(
    source: Source, last: str, *, ended: bool
) -> None:
    source.hold("2024-01", last)
    folder = await source.look("2025-09-28", "2025-09-30", partition=MONTHLY)
    assert folder.ended_before is ended


@pytest.mark.parametrize(
    ("partition", "last_day", "silent"),
    [
        (DAILY, date(2025, 8, 27), False),
        (DAILY, date(2025, 8, 26), True),
        (MONTHLY, date(2025, 7, 31), False),
        (MONTHLY, date(2025, 6, 30), True),
    ],
)
def test_how_long_a_silence_ends_a_series(
    partition: Partition, last_day: date, *, silent: bool
) -> None:
    assert is_silent(last_day, partition, TODAY) is silent


# Keys that are no archives ----------------------------------------------------------------------

STRAYS = [
    "BTCUSDT-1h-2025-07-15-copy.zip",
    "BTCUSDT-1h-2025-07-15.zip.tmp",
    "BTCUSDT-1h-2025-07-32.zip",
    "BTCUSDT-1h-2025-07.zip",
    "BTCUSDT-1h-2025-7-15.zip",
    "BTCUSDT-1m-2025-07-15.zip",
    "BTCUSDT-1h-.zip",
    "ETHUSDT-1h-2025-07-15.zip",
    "BTCUSDT-1h-2025-07-15.csv",
    "old/BTCUSDT-1h-2025-07-15.zip",
    "",
]


@pytest.mark.parametrize("name", STRAYS)
async def test_foreign_files_are_strays(source: Source, name: str) -> None:
    source.hold("2025-07-15", "2025-07-15")
    source.server.put(FOLDERS[DAILY] + name, b"?")
    folder = await source.look()
    assert folder.strays == (FOLDERS[DAILY] + name,)
    assert texts(folder) == ["2025-07-15"]


async def test_a_month_without_padding_is_a_stray_beside_the_padded_one(source: Source) -> None:
    source.hold("2020-07", "2020-09")
    stray = f"{FOLDERS[MONTHLY]}BTCUSDT-1h-2020-8.zip"
    source.server.put(stray, b"?")
    folder = await source.look(partition=MONTHLY)
    assert texts(folder) == ["2020-07", "2020-08", "2020-09"]
    assert folder.strays == (stray,)


async def test_a_sidecar_without_its_zip_is_a_stray(source: Source) -> None:
    source.hold("2025-07-14", "2025-07-16")
    key = f"{FOLDERS[DAILY]}BTCUSDT-1h-2025-07-15.zip"
    source.server.remove(key)
    folder = await source.look()
    assert texts(folder) == ["2025-07-14", "2025-07-16"]
    assert folder.strays == (f"{key}.CHECKSUM",)


async def test_a_first_page_of_strays_alone_does_not_hide_the_first_archive(
    source: Source,
) -> None:
    source.hold("2025-07-15", "2025-07-16")
    for number in range(5):
        source.server.put(f"{FOLDERS[DAILY]}AAA-{number}", b"?")
    folder = await source.look("2025-07-01", "2025-07-16")
    assert ends(folder) == ("2025-07-15", "2025-07-16")
    assert [size for _, size in source.queries[1:]] == ["2", "2", "2"]


async def test_a_folder_of_strays_alone_has_no_first_archive(source: Source) -> None:
    for number in range(5):
        source.server.put(f"{FOLDERS[DAILY]}ZZZ-{number}", b"?")
    folder = await source.look("2025-07-01", "2025-07-16")
    assert (folder.first, folder.last, folder.ended_before) == (None, None, False)
    assert len(folder.strays) == 5


async def test_strays_behind_a_window_are_not_read_for_its_end(source: Source) -> None:
    source.hold("2025-07-01", "2025-07-14")
    for number in range(9):
        source.server.put(f"{FOLDERS[DAILY]}BTCUSDT-1h-9{number}", b"?")
    folder = await source.look("2025-07-14", "2025-07-14")
    assert texts(folder) == ["2025-07-14"]
    assert (folder.first, folder.last, len(folder.strays)) == (None, None, 2)


# Symbols that begin alike, and symbols of other scripts ------------------------------------------


@pytest.mark.parametrize("symbol", ["BTCUSDT", "BTCUSDT_250627", "币安人生USDT", "1INCHBTC"])
async def test_each_symbol_has_its_own_archives(source: Source, symbol: str) -> None:
    names = ["BTCUSDT", "BTCUSDT_250627", "币安人生USDT", "1INCHBTC"]
    trades = {name: Series(Market.FUTURES_UM, DataType.TRADES, name) for name in names}
    for number, series in enumerate(trades.values()):
        source.hold(f"2025-06-0{number + 1}", "2025-06-09", series)
    folder = await source.look("2025-06-01", "2025-06-08", series=trades[symbol])
    assert texts(folder)[0] == f"2025-06-0{names.index(symbol) + 1}"
    assert folder.strays == ()


async def test_minutes_and_months_are_not_mixed_up(source: Source) -> None:
    minutes = Series(Market.SPOT, DataType.KLINES, "BTCUSDT", "1m")
    bars = Series(Market.SPOT, DataType.KLINES, "BTCUSDT", "1mo")
    source.hold("2025-06", "2025-07", minutes)
    source.hold("2025-01", "2025-07", bars)
    assert texts(await source.look(series=minutes, partition=MONTHLY)) == ["2025-06", "2025-07"]


# A listing that fails ---------------------------------------------------------------------------


@pytest.mark.parametrize("answered", [0, 1, 2])
async def test_a_request_that_fails_is_no_empty_folder(source: Source, answered: int) -> None:
    source.hold("2024-01-01", "2024-01-02")
    window = ("2025-09-28", "2025-09-30")
    fine = Headers({})
    source.server.inject(f"list:{FOLDERS[DAILY]}", fine * answered, Status(503) * 9)
    with pytest.raises(ListingError, match="1h/` cannot be listed"):
        await source.look(*window)
    assert len(source.queries) == answered + 4
