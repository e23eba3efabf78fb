"""One folder that this user may not read is a problem of that folder; the rest is done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from tests.attack.conftest import Ended, run
from tests.tables.sample_data import bars, put
from tests.unwritable import SOMEBODY, as_somebody, give
from tests.workflows.lakes import FIRST, row_count, tree

from crypto_lakehouse.collection.sampling import Sample
from crypto_lakehouse.core.archive import Series
from crypto_lakehouse.ledger.empty import EmptyLedger
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.stores.tree import key_folders
from crypto_lakehouse.workflows.stored_archives import may_hold
from crypto_lakehouse.workflows.verification import _Stored, verify_tree

CLOSED = "data/spot/daily/klines/ETHUSDT/"
WHAT = "Permission denied"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every command has run once, as the other user may not be able to import modules."""
    place = tmp_path_factory.mktemp("loaded")
    tree(place)
    put(place, bars(FIRST, "BADUSDT"), "no,numbers\n")
    for command in ("verify", "validate", "ingest"):
        assert run(command, "-o", place).code in {0, 4}
    assert run("ingest", "-o", place, "--format", "parquet", "--lake", place / "files").code == 4


@pytest.fixture
def root(loaded: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Three days of each of two symbols, of which one cannot be read."""
    # Not in pytest's directory, which no other user may enter.
    with TemporaryDirectory() as place:
        folder = Path(place).resolve()
        root = folder / "out"
        tree(root)
        tree(root, 3, "ETHUSDT")
        give(folder, SOMEBODY)
        if not all(parent.stat().st_mode & 0o001 for parent in folder.parents):
            pytest.skip("the directory for temporary files is private")
        (root / CLOSED).chmod(0)
        monkeypatch.chdir(folder)
        yield root


def as_user(*arguments: object) -> Ended:
    """Run a command as somebody who cannot override permissions."""
    with as_somebody():
        return run(*arguments)


def plain(ended: Ended) -> Any:
    """The command's JSON."""
    return json.loads(ended.out)


@pytest.mark.parametrize("sample", [(), ("--sample", "100"), ("--sample", "100%")])
def test_verify_reports_it_and_hashes_the_rest(root: Path, sample: tuple[str, ...]) -> None:
    ended = as_user("verify", "-o", root, "--json", "--combined", root / "marks", *sample)
    assert ended.code == 4
    assert (root / "marks").read_text().splitlines()[3:] == [f"! {CLOSED}"]
    assert plain(ended)["totals"]["ok"] == 3
    (problem,) = plain(ended)["problems"]
    assert (problem["key"], problem["state"]) == (CLOSED, "unreadable")
    assert problem["reason"].endswith(f"{WHAT}; let this user read it")
    assert "cannot be fetched again" not in ended.err
    assert "3 archives and 1 folder checked: 3 ok" in as_user("verify", "-o", root, *sample).out


def test_validate_reports_it_and_reads_the_rest(root: Path) -> None:
    ended = as_user("validate", "-o", root, "--json")
    assert ended.code == 4
    assert [plain(ended)[name] for name in ("archives", "folders", "rows")] == [3, 1, 72]
    text = " ".join(as_user("validate", "-o", root).out.split())
    assert "Of 3 archives and 1 folder with 72 rows: 1 unreadable" in text
    (problem,) = [each for each in plain(ended)["problems"] if each["fault"]]
    assert problem["key"] == CLOSED
    assert WHAT in problem["fault"]


@pytest.mark.parametrize("form", ["iceberg", "parquet"])
def test_ingest_reports_it_and_ingests_the_rest(root: Path, form: str) -> None:
    ended = as_user("ingest", "-o", root, "--json", "--format", form)
    assert ended.code == 4
    assert plain(ended)["totals"]["archives"] == 3
    (problem,) = plain(ended)["problems"]
    assert (problem["key"], problem["state"]) == (CLOSED, "unreadable")
    (root / CLOSED).chmod(0o755)
    again = as_user("ingest", "-o", root, "--json", "--format", form)
    assert again.code == 0
    assert plain(again)["totals"]["archives"] == 3
    if form == "iceberg":
        assert row_count(root) == 144


@pytest.mark.parametrize("command", ["validate", "ingest"])
def test_a_selection_without_it_is_not_concerned(root: Path, command: str) -> None:
    assert as_user(command, "-o", root, "-s", "BTCUSDT").code == 0
    assert as_user(command, "-o", root, "-s", "ETHUSDT").code == 4


@pytest.mark.parametrize("closed", ["data", "data/spot", "data/spot/daily/klines/ETHUSDT/1h"])
@pytest.mark.parametrize("command", ["verify", "validate", "ingest"])
def test_each_depth_is_reported(root: Path, command: str, closed: str) -> None:
    (root / CLOSED).chmod(0o755)
    (root / closed).chmod(0)
    ended = as_user(command, "-o", root, "--json")
    assert ended.code == 4
    assert [each["key"] for each in plain(ended)["problems"] if WHAT in str(each)] == [f"{closed}/"]


def test_what_the_ledger_knows_below_it_is_not_named_apart(root: Path) -> None:
    known = ("data/", CLOSED, f"{CLOSED}1h/", f"{CLOSED[:-1]}X/")
    with as_somebody():
        folders = [*_Stored(LocalStore(root), EmptyLedger(), known).folders()]
    assert [each for each in folders if "ETHUSDT" in each] == [CLOSED, f"{CLOSED[:-1]}X/"]


@pytest.mark.parametrize("command", ["verify", "validate", "ingest", "status"])
def test_a_reader_of_an_output_is_not_advised_to_write_elsewhere(root: Path, command: str) -> None:
    root.chmod(0)
    ended = as_user(command, "-o", root)
    assert ended.code == 2
    assert f"`{root}` cannot be read: {WHAT}" in ended.err
    assert "let this user read it" in ended.err
    assert "output directory" not in ended.err.replace("the output directory is", "")


async def test_a_sample_by_number_leaves_it_out(root: Path) -> None:
    with as_somebody():
        report = await verify_tree(root, sample=Sample("seed", count=2))
    assert report.totals == {"ok": 2, "unreadable": 1}


@pytest.mark.parametrize(
    ("folder", "symbol", "expected"),
    [
        (CLOSED, "ETHUSDT", True),
        (CLOSED, "BTCUSDT", False),
        (f"{CLOSED}1h/", "BTCUSDT", False),
        ("data/spot/daily/trades/BTCUSDT/", "BTCUSDT", True),
        ("data/spot/daily/trades/BTCUSDT/", "ETHUSDT", False),
        ("data/spot/daily/trades/", "ETHUSDT", True),
        ("data/spot/daily/klines/", "ETHUSDT", True),
        ("data/", "ETHUSDT", True),
        ("data/notes/", "ETHUSDT", True),
    ],
)
def test_what_a_folder_may_hold(folder: str, symbol: str, *, expected: bool) -> None:
    def selects(series: Series) -> bool:
        return series.symbol == symbol

    assert may_hold(folder, selects) is expected


def test_a_walk_goes_on_beside_it(root: Path) -> None:
    closed: list[str] = []
    with as_somebody():
        found = [*key_folders(root, closed.append)]
    assert closed == [CLOSED]
    assert found[-3:] == ["data/spot/daily/klines/BTCUSDT/", f"{CLOSED[:-8]}BTCUSDT/1h/", CLOSED]
