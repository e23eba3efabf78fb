"""Commands whose ledger is in PostgreSQL."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import pytest
from tests.cli.conftest import KEY, SELECTION, Shell, collect
from tests.services.bucket import Bucket
from tests.services.postgres import PostgresServer

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.stores.output import output_of
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.workflows.wiring.ledgers import ledger_at

pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")

COUNT = 13


@pytest.fixture
def database(postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database, and the variables that name it."""
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_LEDGER", postgres_server.url())
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_LEDGER_SCHEMA", f"cli_{uuid4().hex}")
    return postgres_server.url()


def test_every_command_knows_the_ledger(
    database: str, archive_server: ArchiveServer, shell: Shell, tmp_path: Path
) -> None:
    code, out, err = shell(*collect(archive_server))
    assert (code, f"{COUNT} verified" in out) == (0, True), err
    assert "the ledger of " in err
    state = tmp_path / "out" / ".lakehouse"
    assert not (state / "ledger.sqlite").exists()
    archive_server.clear()
    code, out, _ = shell(*collect(archive_server))
    assert (code, f"{COUNT} unchanged" in out) == (0, True)
    assert not [each for each in archive_server.requests if each.path.endswith(".zip")]
    code, out, err = shell("status", "-o", "out")
    assert (code, f"{COUNT} series" in out, database in err) == (0, True, False)
    assert "postgresql://***@127.0.0.1" in err
    code, out, _ = shell("plan", *collect(archive_server, "--json")[1:])
    assert json.loads(out)["totals"]["verified"] == COUNT
    for path in (tmp_path / "out" / KEY, tmp_path / "out" / f"{KEY}.CHECKSUM"):
        path.unlink()
    code, out, _ = shell("verify", "-o", "out", "--json")
    assert (code, KEY in out) == (3, True), "only the ledger knows that it was there"
    code, out, _ = shell(*collect(archive_server))
    assert (code, "1 verified" in out) == (0, True)
    (tmp_path / "out" / KEY).write_bytes(b"rotten")
    code, out, _ = shell("verify", "-o", "out", "--repair", "--source-url", archive_server.url)
    assert (code, "1 repaired, 0 not" in out) == (0, True)
    code, out, _ = shell("history", "-o", "out", KEY)
    assert (code, KEY in out) == (0, True)
    assert shell("history", "-o", "out", "--prune", "0")[0] == 0


def test_a_directory_that_was_moved_keeps_its_ledger(
    database: str, archive_server: ArchiveServer, shell: Shell, tmp_path: Path
) -> None:
    assert shell(*collect(archive_server))[0] == 0
    (tmp_path / "out").rename(tmp_path / "moved")
    code, out, _ = shell("status", "-o", "moved", "--ledger", database)
    assert (code, f"{COUNT} series" in out) == (0, True)
    code, _, err = shell("status", "-o", ".")
    assert (code, "has no ledger in `postgresql://" in err) == (2, True)
    assert "no `collect` has used this database for it" in err


def test_an_output_in_an_object_store_has_its_ledger_there_on_every_machine(
    database: str,
    ministack_bucket: Bucket,
    archive_server: ArchiveServer,
    shell: Shell,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ministack_bucket.give_credentials(monkeypatch)
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_STORAGE", json.dumps(dict(ministack_bucket.storage)))
    url = ministack_bucket.fresh_prefix()
    command = ["collect", "-o", url, "--source-url", archive_server.url, *SELECTION]
    for machine, verdict in (("one", "verified"), ("two", "unchanged")):
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / machine))
        code, out, err = shell(*command, "--partitions", "daily")
        assert (code, f"{COUNT} {verdict}" in out) == (0, True), err


def test_a_run_that_is_refused_the_lock_says_who_holds_it(
    database: str,
    archive_server: ArchiveServer,
    shell: Shell,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert shell(*collect(archive_server))[0] == 0
    config = WorkflowConfig({"output_directory": "out", "only": "failed"})
    with ledger_at(output_of(config)).locked():
        (tmp_path / "out" / ".lakehouse" / "lock").unlink(missing_ok=True)
        code, _, err = shell(*collect(archive_server))
        assert (code, " on 127.0.0.1 (since 2" in err) == (11, True)
        code, _, err = shell(*collect(archive_server, "--wait=0.1s"))
        assert (code, "note: waiting for crypto-lakehouse " in err) == (11, True)
        assert shell("history", "-o", "out", "--prune", "0")[0] == 11
    assert shell(*collect(archive_server))[0] == 0


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("postgresql://me:hidden@host/db", "must not contain a password; it comes from"),
        ("postgresql://host/db?password=hidden", "must not contain a password"),
        ("mysql://host/hidden", "`mysql:` is not supported; write postgresql://"),
        ("hidden", "write postgresql://host/database"),
        ("postgresql://[hidden", "not a URL"),
        ("postgresql://host/db#hidden", "must not have a fragment"),
    ],
)
def test_a_url_that_is_none_or_has_a_password_is_refused(
    shell: Shell, archive_server: ArchiveServer, url: str, text: str
) -> None:
    code, _, err = shell(*collect(archive_server, "--ledger", url))
    assert (code, text in err, "hidden" in err) == (2, True, False)


@pytest.mark.parametrize("command", [["status"], ["history", "--since", "1d"], ["verify"]])
def test_a_password_is_refused_before_a_server_is_asked(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    (tmp_path / "out").mkdir()
    url = "postgresql://me:hidden@127.0.0.1:1/db"
    for option in (["--ledger", url], []):
        code, out, err = shell(*command, "-o", "out", *option)
        assert (code, err.count("must not contain a password")) == (2, 1), err
        assert "1 problem" in err, "the URL is the only one"
        assert "hidden" not in out + err
        monkeypatch.setenv("CRYPTO_LAKEHOUSE_LEDGER", url)


def test_a_schema_is_a_plain_name(shell: Shell, archive_server: ArchiveServer) -> None:
    for name in ("A", "a b", "pg_mine", "1a", "a" * 64, 'a"b'):
        code, _, err = shell(*collect(archive_server, "--ledger-schema", name))
        assert (code, "is not a name for a schema" in err) == (2, True)
