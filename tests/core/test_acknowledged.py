"""Keys and globs of archives that a user knows the source to lack."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_lakehouse.core.acknowledged import (
    ACKNOWLEDGEABLE,
    Acknowledged,
    entry_fault,
    is_key_glob,
)
from crypto_lakehouse.core.verdicts import Verdict

FOLDER = "data/spot/daily/klines/BTCUSDT/1h/"
KEY = f"{FOLDER}BTCUSDT-1h-2024-03-05.zip"
OTHER = f"{FOLDER}BTCUSDT-1h-2024-03-06.zip"


@pytest.mark.parametrize(
    "entry",
    [
        KEY,
        "data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2024-03.zip",
        "data/spot/daily/klines/*/1h/*-1h-2024-03-0[56].zip",
        "data/*-2024-03-05.zip",
        "data/spot/*/klines/BTCUSDT/*.zip",
        "data/sp?t/daily/klines/BTCUSDT/1h/*.zip",
        "data/option/daily/EOHSummary/BTCUSDT/*.zip",
        "data/spot/daily/klines/币安人生USDT/1h/*.zip",
    ],
)
def test_keys_and_globs_are_valid(entry: str) -> None:
    assert entry_fault(entry) == ""


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("BTCUSDT", "is not an archive key: a key begins with `data/`"),
        (f"{KEY}.CHECKSUM", "is not an archive key: a key begins with `data/` and ends with"),
        (KEY.replace("03-05", "02-31"), "no such period"),
        (KEY.replace("spot", "spott"), "unknown market folder"),
        (KEY.replace("BTCUSDT-1h", "ETHUSDT-1h"), "the file name must begin with `BTCUSDT-1h-`"),
        ("*", "must begin with `data/` and end with `.zip`"),
        ("data/spot/*", "must begin with `data/` and end with `.zip`"),
        ("data/spott/daily/klines/*.zip", "no archive's key begins with `data/spott/daily/kl"),
        ("data/spot/daily/kline/*.zip", "no archive's key begins with"),
        ("data/spot/daily/klines/BTC[/1h/x.zip", "a `[` is not closed"),
        ("\x1b[2J", "is not a glob of archive keys"),
    ],
)
def test_anything_else_is_a_fault_with_its_reason(entry: str, reason: str) -> None:
    fault = entry_fault(entry)
    assert reason in fault
    assert "\x1b" not in fault


def test_a_key_holds_itself_alone() -> None:
    known = Acknowledged.of([KEY])
    assert (known.holds(KEY), known.holds(OTHER), bool(known)) == (True, False, True)


def test_a_glob_holds_what_it_matches_as_a_whole() -> None:
    known = Acknowledged.of([f"{FOLDER}BTCUSDT-1h-2024-03-0[56].zip", "data/futures/*.zip"])
    assert known.holds(KEY)
    assert known.holds(OTHER)
    assert known.holds("data/futures/um/daily/trades/X/X-trades-2024-03-05.zip")
    assert not known.holds(KEY.replace("03-05", "03-07"))
    assert not known.holds(f"{KEY}.CHECKSUM")
    assert not known.holds(KEY.replace("BTCUSDT", "btcusdt"))


def test_nothing_holds_nothing() -> None:
    assert not Acknowledged()
    assert not Acknowledged.of([]).holds(KEY)
    assert Acknowledged.of(["data/spot/*.zip"])


@given(st.lists(st.sampled_from([KEY, OTHER, f"{FOLDER}*.zip"])))
def test_entries_may_be_in_any_order_and_repeated(entries: list[str]) -> None:
    known = Acknowledged.of(entries)
    assert known.keys == {entry for entry in entries if not is_key_glob(entry)}
    assert len(known.globs) == len({entry for entry in entries if is_key_glob(entry)})


@given(st.text(max_size=30) | st.text(max_size=20).map(lambda text: f"data/spot/{text}*.zip"))
def test_every_text_is_judged(entry: str) -> None:
    if entry_fault(entry) == "":
        Acknowledged.of([entry]).holds(KEY)


def test_what_was_not_asked_for_cannot_be_acknowledged() -> None:
    assert {Verdict.MISSING, Verdict.CORRUPT, Verdict.UPSTREAM_MISMATCH} == ACKNOWLEDGEABLE
