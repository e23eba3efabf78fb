"""`history`: what was replaced, and its bytes."""

from __future__ import annotations

import io
import json
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import closing
from functools import cache
from pathlib import Path

import pytest
from tests.cli.conftest import KEY, Shell, collect

from crypto_lakehouse.ledger.lock import output_lock
from crypto_lakehouse.testing import ArchiveServer


@cache
def news() -> bytes:
    """Other bytes for the one archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("BTCUSDT-1h-2025-07-15.csv", "other,bars\n")
    return buffer.getvalue()


@pytest.fixture
def replaced(shell: Shell, archive_server: ArchiveServer) -> Shell:
    """A shell in whose `out` one archive was replaced."""
    options = ["-i", "1h", "--partitions", "daily", "--listing-url", archive_server.url]
    assert shell(*collect(archive_server, *options))[0] == 0
    archive_server.publish(KEY, news())
    assert shell(*collect(archive_server, *options))[0] == 0
    return shell


def test_versions_are_a_table_or_json(replaced: Shell) -> None:
    code, out, _ = replaced("history", "-o", "out", KEY)
    assert code == 0
    assert "replaced" in out
    assert "current" in out
    code, out, _ = replaced("history", "-o", "out", f"out/{KEY}", "--json")
    assert code == 0
    found = json.loads(out)
    assert [item.get("change", "") for item in found["versions"]] == ["replaced", ""]
    assert found["versions"][0]["kept_as"].startswith(".lakehouse/replaced/")


def test_changes_are_lines_or_json(replaced: Shell) -> None:
    code, out, _ = replaced("history", "-o", "out", "--since", "2025-01-01")
    assert code == 0
    assert f"replaced {KEY}" in out
    assert out.endswith("1 change since 2025-01-01\n")
    _, out, _ = replaced("history", "-o", "out", "--since", "2025-01-01", "--json")
    assert [item["key"] for item in json.loads(out)["changes"]] == [KEY]


def test_the_version_of_a_date_is_named_and_written(replaced: Shell, tmp_path: Path) -> None:
    today = ["--as-of", "2999-01-01"]
    code, out, _ = replaced("history", "-o", "out", KEY, *today)
    assert code == 0
    assert str(tmp_path / "out" / KEY) in out or f"out/{KEY}" in out
    _, out, _ = replaced("history", "-o", "out", KEY, *today, "--json")
    assert json.loads(out)["size_bytes"] == len(news())
    code, out, err = replaced("history", "-o", "out", KEY, *today, "--write", "x.zip")
    assert (code, out) == (0, "")
    assert KEY in err
    assert (tmp_path / "x.zip").read_bytes() == news()
    code, _, err = replaced("history", "-o", "out", KEY, *today, "--write", "x.zip")
    assert (code, "--force" in err) == (2, True)
    assert replaced("history", "-o", "out", KEY, *today, "--write", "x.zip", "--force")[0] == 0


def test_bytes_go_to_standard_output(replaced: Shell, tmp_path: Path) -> None:
    assert replaced("history", "-o", "out", KEY)[0] == 0
    command = [sys.executable, "-m", "crypto_lakehouse", "history", "-o", "out", KEY]
    written = subprocess.run(
        [*command, "--as-of", "2999-01-01", "--write", "-"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        check=True,
    )
    assert written.stdout == news()


def test_a_refused_version_and_a_policy_are_told(
    replaced: Shell, archive_server: ArchiveServer
) -> None:
    archive_server.put(KEY, news() + b"!")
    options = ["-i", "1h", "--partitions", "daily", "--listing-url", archive_server.url]
    replaced(*collect(archive_server, *options))
    assert "a newer version is " in replaced("history", "-o", "out", KEY)[1]


def test_pruning_takes_the_lock(replaced: Shell, tmp_path: Path) -> None:
    with output_lock(tmp_path / "out" / ".lakehouse" / "lock"):
        assert replaced("history", "-o", "out", "--prune", "0")[0] == 11
    code, out, _ = replaced("history", "-o", "out", "--prune", "0")
    assert (code, out.startswith("1 replaced version removed")) == (0, True)


def test_what_cannot_be_pruned_is_said_and_the_rest_is_pruned(
    replaced: Shell, tmp_path: Path
) -> None:
    ledger = tmp_path / "out" / ".lakehouse" / "ledger.sqlite"
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute(
            "INSERT INTO versions SELECT folder, name, change, changed_at, '../../x.zip', verdict, "
            "size_bytes, sha256, published_sha256, etag, last_modified, first_seen_at, "
            "last_seen_at FROM versions"
        )
    code, out, err = replaced("history", "-o", "out", "--prune", "0", "--json")
    assert (code, json.loads(out)["files"]) == (4, 1)
    (problem,) = json.loads(out)["problems"]
    assert "the next `collect` sets it aside" in problem
    assert f"not removed: {problem}" in err
    code, out, _ = replaced("history", "-o", "out", "--prune", "0")
    assert (code, out.startswith("0 replaced versions removed")) == (4, True)


@pytest.mark.parametrize("age", ["1", "1d", "2w", "36500"])
def test_an_age_is_a_number_of_days_or_has_a_unit(replaced: Shell, age: str) -> None:
    code, out, _ = replaced("history", "-o", "out", "--prune", age)
    assert (code, out.startswith("0 replaced versions removed")) == (0, True)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        [KEY, "--since", "2025-01-01"],
        ["--since", "tomorrow"],
        [KEY, "--as-of", "soon"],
        [KEY, "--write", "x"],
        ["--since", "2025-01-01", "--as-of", "2025-01-01"],
        [KEY, "--prune", "1"],
        ["--prune", "-1"],
        ["--prune", "1.5"],
        ["--prune", "1.5d"],
        ["--prune", "5h"],
        ["--prune", "soon"],
        ["--prune", "99999999999"],
        ["data/no/key"],
        [KEY.replace("07-15", "07-16")],
    ],
)
def test_what_cannot_be_asked_is_said(replaced: Shell, arguments: list[str]) -> None:
    code, out, err = replaced("history", "-o", "out", *arguments)
    assert (code, out) == (2, "")
    assert err
