"""Scans of folders by listings that walk beside the plan."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples

from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.stores.objects import folder_names, folder_scans
from crypto_lakehouse.stores.objects.folder_names import FolderNames
from crypto_lakehouse.stores.objects.folder_scans import FolderScans, scan_of
from crypto_lakehouse.stores.objects.object_info import ObjectInfo

SYMBOLS = ["AUSDT", "BTC-USDT", "BTC", "BTCUSDT", "币安人生USDT", "ZUSDT"]
INTERVALS = ["1m", "1h", "1d", "1mo"]
TYPES = [
    "data/spot/daily/klines/",
    "data/spot/monthly/klines/",
    "data/futures/um/daily/klines/",
]


def folder_of(data_type: str, symbol: str, interval: str) -> str:
    return f"{data_type}{symbol}/{interval}/"


@define
class Objects:
    """A store whose listings are counted."""

    keys: set[str] = field(factory=set)
    page_keys: int = 3
    by_folder: bool = False
    requests: int = 0

    def pages(self, prefix: str, after: str) -> Iterator[list[ObjectInfo]]:
        def order(key: str) -> list[bytes]:
            return key.encode().split(b"/") if self.by_folder else [key.encode()]

        found = [
            key for key in self.keys if key.startswith(prefix) and key.encode() > after.encode()
        ]
        found.sort(key=order)
        for start in range(0, max(len(found), 1), self.page_keys):
            self.requests += 1
            yield [ObjectInfo(key, 1, key) for key in found[start : start + self.page_keys]]

    def names(self, prefix: str) -> set[str]:
        self.requests += 1
        below = [key.removeprefix(prefix) for key in self.keys if key.startswith(prefix)]
        return {prefix + key.partition("/")[0] for key in below}

    def inside(self, folder: str) -> set[str]:
        return {key for key in self.keys if key.rpartition("/")[0] + "/" == folder}


def names(scans: FolderScans, folder: str) -> set[str]:
    return {info.key for info in scans.scan(folder)}


folders = st.builds(
    folder_of, st.sampled_from(TYPES), st.sampled_from(SYMBOLS), st.sampled_from(INTERVALS)
)
keys_above = st.sampled_from(
    [f"{TYPES[0]}README.zip", "data/index.zip", f"{TYPES[0]}BTC/A-2025.zip", f"{TYPES[0]}A.zip"]
)
keys_below = st.builds(
    lambda folder, number: f"{folder}F-2025-07-{number:02}.zip", folders, st.integers(1, 9)
)


@settings(max_examples=examples(200))
@given(
    keys=st.sets(keys_below, max_size=60),
    asked=st.lists(folders, max_size=40),
    writes=st.lists(st.tuples(st.integers(0, 39), keys_below), max_size=10),
    page_keys=st.sampled_from([1, 2, 7, 1000]),
    by_folder=st.booleans(),
)
def test_every_scan_is_what_is_there(
    keys: set[str],
    asked: list[str],
    writes: list[tuple[int, str]],
    page_keys: int,
    *,
    by_folder: bool,
) -> None:
    objects = Objects(set(keys), page_keys, by_folder)
    scans = FolderScans(objects.pages, objects.names)
    for number, folder in enumerate(asked):
        for _, key in [write for write in writes if write[0] == number]:
            objects.keys ^= {key}
            scans.forget(key)
        assert names(scans, folder) == objects.inside(folder)


def nothing(folder: str) -> tuple[list[str], bool]:
    """Say what is below a folder, which no listing in order is asked for."""
    raise AssertionError(folder)


def many(symbols: int, archives: int) -> tuple[Objects, list[str]]:
    """Symbols with two intervals each, and the folders in the order of a plan."""
    planned = [
        folder_of(data_type, f"S{number:04}USDT", interval)
        for number in range(symbols)
        for interval in ("1m", "1h")
        for data_type in TYPES[:2]
    ]
    keys = {f"{folder}F-{number:04}.zip" for folder in planned for number in range(archives)}
    return Objects(keys, page_keys=1000), planned


def test_a_whole_tree_takes_a_request_for_each_page() -> None:
    objects, planned = many(symbols=100, archives=50)
    scans = FolderScans(objects.pages, objects.names)
    for folder in planned:
        assert names(scans, folder) == objects.inside(folder)
    assert objects.requests <= len(objects.keys) / 1000 + 4


def test_an_empty_store_takes_a_request_for_each_type() -> None:
    objects, planned = many(symbols=500, archives=0)
    scans = FolderScans(objects.pages, objects.names)
    assert not any(names(scans, folder) for folder in planned)
    assert objects.requests <= 4


def test_a_folder_that_is_skipped_far_costs_one_listing() -> None:
    objects, planned = many(symbols=100, archives=50)
    scans = FolderScans(objects.pages, objects.names)
    for folder in (planned[0], planned[-4], planned[40]):
        assert names(scans, folder) == objects.inside(folder)
    assert objects.requests <= 6


@pytest.mark.parametrize("each", [1, 5])
def test_folders_absent_between_others_cost_a_request_for_each_folder_above(each: int) -> None:
    """Of every symbol, or of each fifth one, one of 16 intervals is stored."""
    symbols, intervals = range(200), range(16)
    planned = [folder_of(TYPES[0], f"S{s:03}USDT", f"{i:02}h") for s in symbols for i in intervals]
    objects = Objects({f"{planned[16 * s + 7]}F.zip" for s in symbols if s % each == 0}, 1000)
    scans = FolderScans(objects.pages, objects.names)
    for folder in planned:
        assert names(scans, folder) == objects.inside(folder)
    assert objects.requests <= len(symbols) + 2  # the listing, and the names of all symbols


def test_a_folder_is_not_absent_that_is_written_to_after_the_one_above_is_listed() -> None:
    stored, absent, late, later = (folder_of(TYPES[0], "BTC", f"{hours}h") for hours in range(4))
    objects = Objects({f"{stored}F.zip"})

    def names_in(prefix: str) -> set[str]:
        found = objects.names(prefix)
        named.note(f"{late}F.zip")
        return found

    named = FolderNames(names_in)
    assert not named.lack(stored)
    named.note(f"{later}F.zip")
    assert [named.lack(folder) for folder in (absent, late, later)] == [True, False, False]
    assert objects.requests == 1


def test_a_folder_without_names_is_forgotten_once_it_is_written_to() -> None:
    """That it had none may be due to an answer that was no listing."""
    stored, written, absent = (folder_of(TYPES[0], "BTC", f"{hours}h") for hours in range(3))
    objects = Objects()
    named = FolderNames(objects.names)
    assert not named.lack(stored)  # nor does any folder above have names
    objects.keys |= {f"{stored}F.zip", f"{written}F.zip"}
    named.note(f"{written}F.zip")
    assert [named.lack(folder) for folder in (stored, written, absent)] == [False, False, True]


def test_the_names_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_names, "_MOST_FOLDERS", 2)
    objects, planned = many(symbols=3, archives=1)
    named = FolderNames(objects.names)
    for _ in range(2):
        assert not any(named.lack(folder) for folder in planned)
    assert objects.requests > len(planned) // 2


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_scans, "_MOST_REMEMBERED", 10)
    objects, planned = many(symbols=10, archives=5)
    objects.page_keys = 7
    scans = FolderScans(objects.pages, objects.names)
    for folder in planned[1::3]:
        assert names(scans, folder) == objects.inside(folder)


@settings(max_examples=examples(200))
@given(
    keys=st.sets(keys_below | keys_above, max_size=60),
    page_keys=st.sampled_from([1, 2, 7, 1000]),
    by_folder=st.booleans(),
)
def test_every_folder_is_yielded_once_with_what_is_in_it(
    keys: set[str], page_keys: int, *, by_folder: bool
) -> None:
    objects = Objects(set(keys), page_keys, by_folder)
    scans = FolderScans(objects.pages, objects.names)
    found = {}
    for folder in scans.folders("data/", nothing):
        assert folder not in found
        found[folder] = names(scans, folder)
    wanted = {key[: key.rindex("/") + 1] for key in keys}
    assert found == {folder: objects.inside(folder) for folder in wanted}


def test_folders_and_their_scans_take_one_listing() -> None:
    objects, planned = many(symbols=100, archives=50)
    scans = FolderScans(objects.pages, objects.names)
    found = {folder: names(scans, folder) for folder in scans.folders("data/", nothing)}
    assert sorted(found) == sorted(planned) == list(found)
    assert all(found[folder] == objects.inside(folder) for folder in planned)
    assert objects.requests == len(objects.keys) / 1000


def test_folders_that_are_not_scanned_are_remembered_up_to_a_bound() -> None:
    objects, planned = many(symbols=100, archives=5)
    scans = FolderScans(objects.pages, objects.names)
    assert [*scans.folders("data/", nothing)] == sorted(planned)
    for folder in planned:
        assert names(scans, folder) == objects.inside(folder)


def test_a_folder_that_is_written_to_before_its_scan_is_listed_again() -> None:
    objects, planned = many(symbols=3, archives=2)
    scans = FolderScans(objects.pages, objects.names)
    for folder in scans.folders("data/", nothing):
        objects.keys.add(f"{folder}new.zip")
        scans.forget(f"{folder}new.zip")
        assert names(scans, folder) == objects.inside(folder)
    assert len(objects.keys) == 3 * len(planned)


def test_a_listing_that_fails_ends_no_folder() -> None:
    objects, planned = many(symbols=20, archives=3)
    objects.page_keys = 10
    failures = [StoreError("data/", "no answer")] * 2

    def pages(prefix: str, after: str) -> Iterator[list[ObjectInfo]]:
        listed = objects.pages(prefix, after)
        yield next(listed)
        if failures:
            raise failures.pop()
        yield from listed

    scans = FolderScans(pages, Objects().names)
    found = {}
    for folder in planned:
        while folder not in found:
            try:
                found[folder] = names(scans, folder)
            except StoreError:
                continue
    assert failures == []
    assert all(found[folder] == objects.inside(folder) for folder in planned)


def test_a_listing_without_an_order_is_refused() -> None:
    first, second = folder_of(TYPES[0], "BTC", "1h"), folder_of(TYPES[0], "ETH", "1h")

    def pages(prefix: str, after: str) -> Iterator[list[ObjectInfo]]:
        for key in (f"{first}a.zip", f"{second}a.zip", f"{first}b.zip"):
            yield [ObjectInfo(key, 1, key)]

    with pytest.raises(StoreError, match="in no order"):
        list(FolderScans(pages, Objects().names).folders("data/", nothing))


def test_archives_and_other_names_are_told_apart() -> None:
    found = [ObjectInfo("data/a/x.zip", 3, "e"), ObjectInfo("data/a/x.zip.CHECKSUM", 1, "f")]
    scan = scan_of(found, "data/a/")
    assert dict(scan.zips) == {"x.zip": (3, found[0].mark)}
    assert scan.others == {"x.zip.CHECKSUM"}
