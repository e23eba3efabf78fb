"""`verify --repair` from a hostile source: nothing good is lost, and nothing wrong is believed.

One archive is damaged on the disk, and one is in quarantine. Whatever the source sends, the others
stay as they are, the damaged one is good or still reported, its bytes are kept, and an honest
source repairs both afterwards.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.attack.conftest import DAYS, KEYS, Ended, run
from tests.attack.raw_source import RawSource, Script, answer, kline_zip, sidecar_of
from tests.attack.test_answers import SIDECARS, ZIPS, redirect, sends

DAMAGED, WRONG, WHOLE = KEYS
GOOD = {key: kline_zip(key) for key in KEYS}
EVIL = kline_zip(DAMAGED, ["1,2,3"])
OTHER_DAY = kline_zip(KEYS[2])

#: These wait for the client's patience, and are tried for `collect`.
_SLOW = {"silence", "silence between chunks", "silence in the body"}

#: Answers to the request for the zip; its sidecar is the published one.
BODIES: dict[str, Script] = {
    **{name: script for name, (script, allowed) in ZIPS.items()
       if "verified" not in allowed and name not in _SLOW},
    "rows of another day": sends(answer(OTHER_DAY)),
    "a byte less": sends(answer(GOOD[DAMAGED][:-1])),
    "a byte more": sends(answer(GOOD[DAMAGED] + b"\0")),
    "larger than it says": sends(answer(GOOD[DAMAGED] * 2, length=len(GOOD[DAMAGED]) + 7)),
    "the damaged bytes": sends(answer(GOOD[DAMAGED][:-9] + bytes(9))),
    "502": sends(answer(b"", "502 Bad Gateway")),
}  # fmt: skip

#: Answers to the request for the sidecar; the zip is the published one.
TEXTS: dict[str, Script] = {
    **{name: script for name, (script, allowed) in SIDECARS.items() if "verified" not in allowed},
    "that of another day": sends(answer(sidecar_of(OTHER_DAY, KEYS[2]))),
}


@pytest.fixture
def elsewhere() -> Iterator[RawSource]:
    """A host that the configuration does not name."""
    with RawSource() as other:
        for key in KEYS:
            other.publish(key, GOOD[key])
        yield other


@pytest.fixture
def tree(source: RawSource, here: Path) -> Path:
    """A collected tree, of which one archive was damaged, and one is in quarantine."""
    source.files[WRONG] = b"no zip"
    assert collect(source).code == 4
    source.publish(WRONG, GOOD[WRONG])
    path = here / "out" / DAMAGED
    path.write_bytes(GOOD[DAMAGED][:-9] + bytes(9))
    source.requests.clear()
    return here / "out"


def collect(source: RawSource) -> Ended:
    return run(
        "collect", "-o", "out", "--markets", "spot", "-s", "BTCUSDT", "-t", "klines", "-i", "1h",
        "--start", DAYS[0], "--end", DAYS[-1], "--source-url", source.url, "--max-retries", "0",
        "-q", "--discovery", "calendar",
    )  # fmt: skip


def repair(source: RawSource, *more: str) -> Ended:
    return run(
        "verify", "-o", "out", "--repair", "--source-url", source.url, "--max-retries", "0",
        "--timeout-seconds", "5", "--json", *more,
    )  # fmt: skip


def kept(root: Path) -> list[bytes]:
    """The bytes of all zips, wherever they are."""
    return [path.read_bytes() for path in root.rglob("*.zip") if path.is_file()]


def check(root: Path, source: RawSource, ended: Ended) -> None:
    report = json.loads(ended.out)["repair"]
    assert (root / WHOLE).read_bytes() == GOOD[WHOLE]
    assert (root / f"{WHOLE}.CHECKSUM").read_bytes() == sidecar_of(GOOD[WHOLE], WHOLE)
    assert not [path for path in source.requests if path.startswith(WHOLE)]
    for key in KEYS:
        path = root / key
        is_good = path.exists() and path.read_bytes() == GOOD[key]
        remains = key in {item["key"] for item in report["remaining"]}
        assert (key in report["repaired"]) <= is_good
        assert is_good or remains or key in {item["key"] for item in report["remaining"]}
    if report["remaining"]:
        assert ended.code in {3, 4, 5}
        stored = kept(root)
        assert any(data.startswith(GOOD[DAMAGED][:-9]) for data in stored), "its bytes are kept"
    with closing(sqlite3.connect(root / ".lakehouse/ledger.sqlite")) as ledger:
        rows = dict(ledger.execute("SELECT name, verdict FROM archives").fetchall())
    for key in KEYS:
        if rows[key.rpartition("/")[2]] == "verified" and (root / key).exists():
            there = (root / key).read_bytes()
            assert there == GOOD[key] or key in {item["key"] for item in report["remaining"]}


def check_afterwards(root: Path, source: RawSource) -> None:
    source.scripts.clear()
    for key in KEYS:
        source.publish(key, GOOD[key])
    ended = repair(source)
    assert ended.code == 0, ended
    for key in KEYS:
        assert (root / key).read_bytes() == GOOD[key]
        assert (root / f"{key}.CHECKSUM").read_bytes() == sidecar_of(GOOD[key], key)
    assert not list(root.rglob("*.part"))
    assert json.loads(run("verify", "-o", "out", "--json").out)["totals"]["ok"] == len(KEYS)


@pytest.mark.parametrize("name", BODIES)
def test_a_zip_of_a_hostile_source(source: RawSource, tree: Path, name: str) -> None:
    source.scripts[DAMAGED] = BODIES[name]
    ended = repair(source)
    assert DAMAGED in {item["key"] for item in json.loads(ended.out)["repair"]["remaining"]}
    check(tree, source, ended)
    check_afterwards(tree, source)


@pytest.mark.parametrize("name", TEXTS)
def test_a_sidecar_of_a_hostile_source(source: RawSource, tree: Path, name: str) -> None:
    for key in (DAMAGED, WRONG):
        source.scripts[f"{key}.CHECKSUM"] = TEXTS[name]
    check(tree, source, repair(source))
    check_afterwards(tree, source)


@pytest.mark.parametrize("trouble", ["damaged", "gone", "its ledger lost"])
def test_a_zip_that_no_sidecar_proves_is_no_repair(
    source: RawSource, tree: Path, trouble: str
) -> None:
    """The digest that was verified before decides, and stays where it is."""
    path = tree / DAMAGED
    if trouble == "gone":
        path.unlink()
    damage = path.read_bytes() if path.exists() else None
    if trouble == "its ledger lost":
        (tree / ".lakehouse/ledger.sqlite").unlink()
    source.files[DAMAGED] = EVIL
    del source.files[f"{DAMAGED}.CHECKSUM"]
    for command in (collect, repair, collect):
        assert command(source).code == 4
        assert (path.read_bytes() if path.exists() else None) == damage
        assert (tree / f"{DAMAGED}.CHECKSUM").read_bytes() == sidecar_of(GOOD[DAMAGED], DAMAGED)
        assert (tree / ".lakehouse/quarantine" / DAMAGED).read_bytes() == EVIL
    listed = json.loads(repair(source).out)["repair"]["remaining"]
    assert any(
        "corrupt: its sidecar is not published any more" in item["reason"] for item in listed
    )
    assert run("ingest", "-o", "out").code == (0 if damage is None else 4)
    question = "SELECT count(DISTINCT open_time::date) AS days FROM spot.klines"
    found = run("query", "-o", "out", "--format", "json", question).out
    assert json.loads(found) == {"days": len(KEYS) - 1}
    check_afterwards(tree, source)


@pytest.mark.parametrize("trouble", ["damaged", "gone", "its ledger lost"])
def test_a_sidecar_that_is_gone_hinders_no_repair(
    source: RawSource, tree: Path, trouble: str
) -> None:
    if trouble == "gone":
        (tree / DAMAGED).unlink()
    if trouble == "its ledger lost":
        (tree / ".lakehouse/ledger.sqlite").unlink()
    del source.files[f"{DAMAGED}.CHECKSUM"]
    ended = collect(source) if trouble == "gone" else repair(source)
    assert ended.code == 0, ended
    check_afterwards(tree, source)


def test_another_zip_with_a_right_sidecar_is_another_version(source: RawSource, tree: Path) -> None:
    source.publish(DAMAGED, EVIL)
    ended = repair(source)
    assert DAMAGED in json.loads(ended.out)["repair"]["repaired"]
    assert (tree / DAMAGED).read_bytes() == EVIL
    assert (tree / WHOLE).read_bytes() == GOOD[WHOLE]


@pytest.mark.parametrize("what", ["", ".CHECKSUM"])
def test_no_other_host_is_asked(
    source: RawSource, elsewhere: RawSource, tree: Path, what: str
) -> None:
    for key in (DAMAGED, WRONG):
        source.scripts[key + what] = sends(
            answer(b"", "302 Found", f"Location: {elsewhere.url}/{key}{what}")
        )
    check(tree, source, repair(source))
    assert not elsewhere.requests
    check_afterwards(tree, source)
    assert not elsewhere.requests


def test_a_hostile_listing_repairs_nothing_wrong(source: RawSource, tree: Path) -> None:
    source.scripts["?"] = sends(redirect("//[]@"))
    for integrity in ("listing", "both"):
        check(tree, source, repair(source, "--integrity", integrity))
    check_afterwards(tree, source)


def test_both_sources_may_be_hostile(source: RawSource, elsewhere: RawSource, tree: Path) -> None:
    source.files[DAMAGED] = elsewhere.files[DAMAGED] = EVIL
    ended = repair(source, "--second-source-url", elsewhere.url)
    assert DAMAGED in {item["key"] for item in json.loads(ended.out)["repair"]["remaining"]}
    check(tree, source, ended)
    check_afterwards(tree, source)
