"""Trees and lakes that this user may only read, or cannot read in part."""

from __future__ import annotations

import errno
import io
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn
from unittest.mock import Mock

import pytest
from tests.unwritable import SOMEBODY, as_somebody, give, mounted_read_only

from crypto_lakehouse.cli.main import main
from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.ledger.connection import LedgerConnection
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.tables.iceberg import interrupted_commit
from crypto_lakehouse.testing import ArchiveServer

KEY = "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2025-07-15.zip"

SELECTED = ("-s", "BTCUSDT", "--markets", "spot", "-t", "trades", "--discovery", "calendar")

CATALOG = ".lakehouse/lake/catalog.db"

COUNT = "SELECT count(*) AS n FROM spot.trades"

#: What only reads, and what it must say.
READING = {
    "query": (["query", "-o", "out", "--format", "csv", COUNT], "2000"),
    "query to a file": (["query", "-o", "out", COUNT, "--to", "own/n.csv"], ""),
    "lake tables": (["lake", "tables", "-o", "out"], "spot.trades: 2,000 rows"),
    "lake verify": (["lake", "verify", "-o", "out"], "2,000 rows: whole"),
    "lake snapshots": (["lake", "snapshots", "-o", "out", "spot.trades"], "2,000 rows"),
    "relocate in a dry run": (["lake", "relocate", "-o", "out", "--dry-run"], "would be relocated"),
    "validate": (["validate", "-o", "out"], "good\t2"),
    "status": (["status", "-o", "out", "--json"], "BTCUSDT"),
    "verify": (["verify", "-o", "out", "--sums", "own/sums"], "2 ok"),
    "history": (["history", "-o", "out", KEY], "current"),
    "history at a time": (
        ["history", "-o", "out", KEY, "--as-of", "9999-01-01", "--write", "own/a.zip"], ""
    ),
    "plan": (["plan", "-o", "out", *SELECTED, "--date", "2025-07-15"], "1 already verified"),
    "dry run": (
        ["collect", "-o", "out", *SELECTED, "--date", "2025-07-15", "--dry-run"], "0 to fetch"
    ),
    "holes": (["status", "-o", "out", "--format", "keys"], ""),
    "ingest elsewhere": (["ingest", "-o", "out", "--lake", "own/lake"], "2,000 rows"),
}  # fmt: skip

#: What must write.
WRITING = {
    "collect": ["collect", "-o", "out", *SELECTED, "--date", "2025-07-17"],
    "retry": ["collect", "-o", "out", "--retry-failed"],
    "ingest": ["ingest", "-o", "out"],
    "ingest into it": ["ingest", "-o", "out", "--lake", "out/pq", "--format", "parquet"],
    "compact": ["lake", "compact", "-o", "out"],
    "expire": ["lake", "expire", "-o", "out", "--older-than", "0"],
    "sweep": ["lake", "sweep", "-o", "out"],
    "relocate": ["lake", "relocate", "-o", "out"],
    "compact by lake": ["lake", "compact", "-o", "out", "--lake", "out/.lakehouse/lake"],
    "prune": ["history", "-o", "out", "--prune", "0"],
    "query": ["query", "-o", "out", COUNT, "--to", "out/n.csv"],
    "matrix": ["matrix", "refresh", "--to", "out/m.json"],
    "history": ["history", "-o", "out", KEY, "--as-of", "9999-01-01", "--write", "out/a.zip"],
    "sums": ["verify", "-o", "out", "--sums", "out/sums"],
    "combined": ["verify", "-o", "out", "--combined", "out/sums"],
}

#: Parts of a tree that another user owns.
PARTS = (
    "", ".lakehouse", ".lakehouse/lake", ".lakehouse/lake/lock", CATALOG, ".lakehouse/lake/journal",
    ".lakehouse/lake/warehouse", ".lakehouse/lake/warehouse/**", ".lakehouse/ledger.sqlite",
    ".lakehouse/lock", "data", "data/spot/daily/trades/BTCUSDT", "data/**", KEY,
)  # fmt: skip


def run(*arguments: str) -> tuple[int, str]:
    """Run a command in this process; return its exit code and all that it prints."""
    bytes_ = io.BytesIO()
    text = io.TextIOWrapper(bytes_, "utf-8", write_through=True)
    with redirect_stdout(text), redirect_stderr(text), pytest.raises(SystemExit) as ended:
        main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code, bytes_.getvalue().decode()


def contents(folder: Path) -> dict[str, bytes]:
    return {
        each.relative_to(folder).as_posix(): each.read_bytes() if each.is_file() else b""
        for each in folder.rglob("*")
    }


@pytest.fixture(scope="module")
def server() -> Iterator[ArchiveServer]:
    """A source."""
    with ArchiveServer() as source:
        yield source


@pytest.fixture(scope="module")
def template(server: ArchiveServer) -> Iterator[Path]:
    """A tree with two days of trades, each ingested by a run of its own.

    Every command has run once in this process, as somebody else may not be able to import modules.
    """
    before = Path.cwd()
    with TemporaryDirectory() as place:
        os.chdir(place)
        try:
            for day in ("2025-07-15", "2025-07-16"):
                source = ("--source-url", server.url)
                assert run("collect", "-o", "out", *SELECTED, "--date", day, *source)[0] == 0
                assert run("ingest", "-o", "out")[0] == 0
            shutil.copytree("out", "template")
            Path("own").mkdir()
            for command, _said in READING.values():
                run(*command)
            for command in WRITING.values():
                run(*with_source(command, server))
            yield Path(place) / "template"
        finally:
            os.chdir(before)


def with_source(command: list[str], server: ArchiveServer) -> list[str]:
    return [
        *command,
        *(("--source-url", server.url) if command[0] in {"collect", "matrix"} else ()),
    ]


@pytest.fixture
def tree(template: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the tree, `out` in the working directory, beside `own`, in which all may write."""
    with TemporaryDirectory() as place:
        folder = Path(place).resolve()
        folder.chmod(0o755)
        if not all(parent.stat().st_mode & 0o001 for parent in folder.parents):
            pytest.skip("the directory for temporary files is private")
        shutil.copytree(template, folder / "out")
        (folder / "own").mkdir()
        (folder / "own").chmod(0o777)
        monkeypatch.chdir(folder)
        yield folder / "out"


Restrict = Callable[[Path], None]


@pytest.fixture(params=["somebody", "mount"])
def restrict(request: pytest.FixtureRequest) -> Iterator[Restrict]:
    """Takes the right to write a tree, until the test ends."""
    with ExitStack() as restricted:

        def begin(tree: Path) -> None:
            way = as_somebody() if request.param == "somebody" else mounted_read_only(tree)
            restricted.enter_context(way)

        yield begin


def test_what_only_reads_answers(tree: Path, restrict: Restrict) -> None:
    before = contents(tree)
    restrict(tree)
    for name, (command, wanted) in READING.items():
        code, said = run(*command)
        assert (code, wanted in said) == (0, True), f"{name}: {said}"
    with Lake.open(tree) as lake:
        assert lake.scan("spot.trades", symbols=["BTCUSDT"]).polars().collect().height == 2000
        assert lake.sql("SELECT min(time) FROM spot.trades").fetchall()
    assert contents(tree) == before
    assert Path("own/n.csv").read_text().split() == ['"n"', "2000"]
    assert Path("own/a.zip").read_bytes() == (tree / KEY).read_bytes()


def test_what_must_write_says_why_it_cannot(
    tree: Path, restrict: Restrict, server: ArchiveServer
) -> None:
    before = contents(tree)
    restrict(tree)
    for name, command in WRITING.items():
        code, said = run(*with_source(command, server))
        assert code == 2, f"{name}: {said}"
        assert "Permission denied" in said or "Read-only file system" in said, f"{name}: {said}"
        assert "Traceback" not in said
        assert ("choose another output directory" in said) == (name in {"collect", "retry"}), said
        assert ("`--lake DIR`" in said) == name.startswith("ingest"), said
    assert contents(tree) == before


@pytest.mark.parametrize("mode", [0o700, 0o755], ids=["unreadable", "unwritable"])
@pytest.mark.parametrize("part", PARTS)
def test_no_part_of_another_user_is_called_a_fault_of_the_program(
    tree: Path, server: ArchiveServer, part: str, mode: int
) -> None:
    first = tree / part.removesuffix("/**")
    give(tree, SOMEBODY)
    for each in (first, *(first.rglob("*") if part.endswith("/**") else ())):
        os.chown(each, 0, 0)
        each.chmod(mode if each.is_dir() else mode & 0o666)
    with as_somebody():
        for command in (*(command for command, _ in READING.values()), *WRITING.values()):
            code, said = run(*with_source(command, server))
            assert "Traceback" not in said, said
            assert "fault in crypto-lakehouse" not in said, said
            # Archives and folders that cannot be read have verdicts; the rest ends a command.
            assert code in ({0, 2, 3, 4} if part.startswith("data") else {0, 2}), (command, said)
            if code and "exists; --force" not in said:
                assert "Permission denied" in said or "let this user" in said, (command, said)


class _LockedOut(LedgerConnection):
    """A ledger on a file system that has no locks, which SQLite takes for locks of others."""

    def execute(self, *_arguments: object) -> NoReturn:
        error = sqlite3.OperationalError("database is locked")
        error.sqlite_errorcode = sqlite3.SQLITE_BUSY
        raise error


@pytest.mark.parametrize("kind", ["flock", "SQLite"])
def test_a_file_system_without_locks_has_one_exit_code_in_every_command(
    tree: Path, server: ArchiveServer, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    fcntl = pytest.importorskip("fcntl")
    refusal = OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
    monkeypatch.setattr(fcntl, "flock" if kind == "flock" else "lockf", Mock(side_effect=refusal))
    if kind == "SQLite":
        connect = sqlite3.connect

        def connect_without(*arguments: Any, **options: Any) -> sqlite3.Connection:
            if options.get("factory") is LedgerConnection:
                options["factory"] = _LockedOut
            connection: sqlite3.Connection = connect(*arguments, **options)
            return connection

        monkeypatch.setattr(sqlite3, "connect", connect_without)
    commands = {**{name: command for name, (command, _) in READING.items()}, **WRITING}
    said = {name: run(*with_source(command, server)) for name, command in commands.items()}
    refused = {name: text for name, (code, text) in said.items() if code}
    assert {code for code, _ in said.values()} == {0, 2}, said
    assert all("lock files" in text or "No locks" in text for text in refused.values()), refused
    assert not any("another program" in text for text in refused.values()), refused
    expected = {"collect", "retry", "ingest", "prune", "compact", "expire", "sweep", "relocate"}
    if kind == "SQLite":
        expected = {"collect", "retry", "ingest", "prune", "status", "validate", "verify", "plan"}
    assert expected <= refused.keys()


# A catalog that a killed run left within a commit -------------------------------------------------


@pytest.fixture
def interrupted(tree: Path) -> Path:
    """The tree, with a journal of a commit that was written in part."""
    catalog = tree / CATALOG
    with closing(sqlite3.connect(catalog, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE iceberg_tables SET metadata_location = 'unfinished'")
        connection.execute("CREATE TABLE padding (text)")
        connection.executemany("INSERT INTO padding VALUES (?)", [("x" * 3000,)] * 300)
        left = {each: each.read_bytes() for each in catalog.parent.glob("catalog.db*")}
        connection.execute("ROLLBACK")
    assert len(left) == 2
    for path, data in left.items():
        path.write_bytes(data)
    return tree


def test_an_unfinished_commit_is_not_read(interrupted: Path, restrict: Restrict) -> None:
    before = contents(interrupted)
    restrict(interrupted)
    for name in ("query", "lake tables", "lake snapshots"):
        command, wanted = READING[name]
        code, said = run(*command)
        assert (code, wanted in said) == (0, True), f"{name}: {said}"
    assert contents(interrupted) == before


def test_its_owner_rolls_it_back(interrupted: Path) -> None:
    code, said = run(*READING["query"][0])
    assert (code, "2000" in said) == (0, True)
    assert not (interrupted / f"{CATALOG}-journal").exists()


def test_a_catalog_that_changes_while_it_is_copied_is_not_read(
    interrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copyfile

    def change(source: Path, target: Path) -> None:
        copy(source, target)
        os.utime(interrupted / CATALOG, ns=(1, 1))

    monkeypatch.setattr(interrupted_commit, "_is_readable", lambda _path: False)
    monkeypatch.setattr(shutil, "copyfile", change)
    with pytest.raises(LakeError, match="another program wrote to the catalog while it was copied"):
        Lake.open(interrupted)


def test_an_empty_journal_is_none(tree: Path, restrict: Restrict) -> None:
    (tree / f"{CATALOG}-journal").touch()
    restrict(tree)
    assert run(*READING["lake tables"][0])[0] == 0
