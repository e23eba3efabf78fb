"""The ledger in PostgreSQL: outputs apart, one run at a time, and errors that say what to do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from tests.stores.conftest import ARCHIVE, FOLDER, KEY, NAME, OTHER, finished, run_started

from crypto_lakehouse.core.errors import LedgerError, LockHeldError
from crypto_lakehouse.ledger.coverage_view import recorded_series
from crypto_lakehouse.ledger.history import changes_since, versions_of
from crypto_lakehouse.ledger.postgres.completeness import _columns
from crypto_lakehouse.ledger.postgres.identity import FileIdentity, UrlIdentity
from crypto_lakehouse.ledger.postgres.ledger import PostgresLedger
from crypto_lakehouse.ledger.postgres.place import PostgresPlace
from crypto_lakehouse.ledger.postgres.schema import _STEPS
from crypto_lakehouse.ledger.postgres.server import Server
from crypto_lakehouse.ledger.runs import recorded_runs

psycopg = pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")


def of_output(database: Server, name: str = "s3://bucket/prefix") -> PostgresPlace:
    return PostgresPlace(database, UrlIdentity(name), reconnect_within_s=5)


@contextmanager
def opened(place: PostgresPlace) -> Iterator[PostgresLedger]:
    with place.locked():
        ledger, _ = place.open()
        with closing(ledger):
            yield ledger


def ask(database: Server, statement: str, *values: object) -> list[Any]:
    """Run a statement as the owner of the tables does."""
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(f"SET search_path = {database.schema}")
        cursor = connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def other_database(database: Server, name: str) -> str:
    return f"{database.url.rpartition('/')[0]}/{name}"


def reload_configuration(database: Server) -> None:
    before = ask(database, "SELECT pg_conf_load_time()")
    ask(database, "SELECT pg_reload_conf()")
    while ask(database, "SELECT pg_conf_load_time()") == before:
        pass


# Outputs --------------------------------------------------------------------------------------


async def test_two_outputs_never_mix(database: Server) -> None:
    one, other = of_output(database, "s3://one/prefix"), of_output(database, "s3://two/prefix")
    with opened(one) as ledger, opened(other) as empty:
        ledger.write([finished(), finished(change="replaced"), run_started("one")])
        ledger.write([finished(archive=OTHER, sha256="b" * 64)])
        assert await empty.rows(FOLDER) == {}
        assert await empty.folders() == []
        assert not await empty.has_verified("data/")
        empty.write([finished(size_bytes=8)])
        assert ledger.verified_now(FOLDER)[NAME] != empty.verified_now(FOLDER)[NAME]
        assert [*changes_since(other, finished().archive.period.first_day)] == []
    assert recorded_runs(other) == []
    assert len([*recorded_series(one)]) == 2
    assert len([*recorded_series(other)]) == 1
    assert len(versions_of(other, ARCHIVE)) == 1


def test_two_schemas_are_two_ledgers(database: Server) -> None:
    other = Server(database.url, f"{database.schema}_2")
    with opened(of_output(database)) as ledger, opened(of_output(other)) as second:
        ledger.write([finished()])
        assert second.rows_now(FOLDER) == {}


def test_a_directory_keeps_its_id_where_it_is_moved(tmp_path: Path) -> None:
    path = tmp_path / "a" / "output-id"
    path.parent.mkdir()
    assert FileIdentity(path).read() is None
    made = FileIdentity(path).make()
    assert made == FileIdentity(path).make() == FileIdentity(path).read()
    path.parent.rename(tmp_path / "b")
    assert FileIdentity(tmp_path / "b" / "output-id").read() == made
    assert [each.name for each in (tmp_path / "b").iterdir()] == ["output-id"]


def test_an_id_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "output-id"
    for content in (b"", b"\xff", b"directory x\n"):
        path.write_bytes(content)
        with pytest.raises(LedgerError, match="output-id"):
            FileIdentity(path).make()
    with pytest.raises(LedgerError, match="cannot be written"):
        FileIdentity(tmp_path / "absent" / "output-id").make()
    with pytest.raises(LedgerError, match="cannot be read"):
        FileIdentity(tmp_path).read()


# The lock -------------------------------------------------------------------------------------


def test_a_second_run_is_refused_and_learns_who_holds_the_lock(database: Server) -> None:
    place = of_output(database)
    with place.locked():
        with pytest.raises(LockHeldError) as refused, of_output(database).locked():
            pass
        assert refused.value.exit_code == 11
        assert f" {os.getpid()} on 127.0.0.1 (since 2" in refused.value.holder
        assert f"s3://bucket/prefix in {database.url}" in str(refused.value)
        with of_output(database, "s3://other/prefix").locked():
            pass
    with of_output(database).locked():
        pass


def test_a_lock_that_was_given_back_is_free_at_once(database: Server) -> None:
    place = of_output(database)
    for _ in range(30):
        with place.locked():
            pass


_HOLDER = """
import sys
from crypto_lakehouse.ledger.postgres.identity import UrlIdentity
from crypto_lakehouse.ledger.postgres.place import PostgresPlace
from crypto_lakehouse.ledger.postgres.server import Server
with PostgresPlace(Server(*sys.argv[1:]), UrlIdentity("s3://bucket/prefix")).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_the_lock_of_a_process_that_was_killed_is_free(database: Server) -> None:
    command = [sys.executable, "-c", _HOLDER, database.url, database.schema]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LockHeldError, match=f" {holder.pid} on "), of_output(database).locked():
            pass
        holder.send_signal(signal.SIGKILL)
    _until_taken(of_output(database))


def _until_taken(place: PostgresPlace) -> None:
    """Take the lock; the server notices within moments that a connection is gone."""
    while True:
        try:
            with place.locked():
                return
        except LockHeldError:
            continue


# Versions of the tables -------------------------------------------------------------------------


def test_tables_of_a_later_version_are_refused_and_left(database: Server) -> None:
    place = of_output(database)
    with opened(place) as ledger:
        ledger.write([finished()])
    ask(database, "UPDATE schema_version SET version = 99")
    with pytest.raises(LedgerError, match=r"later version of this program \(schema 99"):
        place.open_read_only()
    with pytest.raises(LedgerError, match="later version"), place.locked():
        place.open()
    assert ask(database, "SELECT count(*) FROM archives") == [(1,)]


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("DELETE FROM schema_version", "has no row"),
        ("INSERT INTO schema_version VALUES (1)", "has more than one row"),
        ("UPDATE schema_version SET version = -3", "has the version `-3`"),
        ("UPDATE schema_version SET version = 0", "has the version `0`"),
        ("ALTER TABLE schema_version ALTER version TYPE text", "has the version `2`"),
    ],
)
def test_a_damaged_version_is_an_error_and_the_tables_are_left(
    database: Server, statement: str, fault: str
) -> None:
    place = of_output(database)
    with opened(place) as ledger:
        ledger.write([finished()])
    ask(database, statement)
    with pytest.raises(LedgerError, match=f"{fault}, .* backup, or name another schema"):
        place.exists()
    with pytest.raises(LedgerError, match=fault), place.locked():
        place.open()
    assert ask(database, "SELECT count(*) FROM archives") == [(1,)]


@pytest.mark.parametrize(
    ("statement", "lacking"),
    [
        ("DROP TABLE versions", "lacks the table `versions`"),
        ("DROP TABLE runs, parts", "lacks the table `parts` and the table `runs`"),
        ("ALTER TABLE archives DROP etag", "lacks the column `etag` of `archives`"),
        ("ALTER TABLE listings RENAME listed_at TO at", "lacks the column `listed_at` of"),
        ("DROP TABLE outputs", "lacks the table `outputs`"),
    ],
)
def test_a_table_or_column_that_is_gone_is_named_whatever_is_done(
    database: Server, statement: str, lacking: str
) -> None:
    place = of_output(database)
    with opened(place) as ledger:
        ledger.write([finished()])
    ask(database, statement)
    with pytest.raises(LedgerError, match=f"{lacking}.*backup, or name another one with"):
        place.exists()
    with pytest.raises(LedgerError, match=lacking):
        place.open_read_only()
    with pytest.raises(LedgerError, match=lacking), place.locked():
        place.open()
    with pytest.raises(LedgerError, match=lacking), place.reading():
        pass


def test_every_table_and_column_is_looked_for(database: Server) -> None:
    with opened(of_output(database)):
        pass
    there = ask(
        database,
        "SELECT table_name::text, column_name::text FROM information_schema.columns"
        " WHERE table_schema = %s AND table_name <> 'schema_version'",
        database.schema,
    )
    assert sorted(_columns(_STEPS)) == sorted(there)


def test_runs_that_begin_at_once_make_the_tables_once(database: Server) -> None:
    places = [of_output(database, f"s3://bucket/{number}") for number in range(4)]
    together = Barrier(len(places))

    def begin(place: PostgresPlace) -> int:
        with place.locked():
            together.wait()
            ledger, _ = place.open()
            ledger.close()
            return ledger.output_id

    with ThreadPoolExecutor(len(places)) as threads:
        assert len(set(threads.map(begin, places))) == len(places)


# Errors -----------------------------------------------------------------------------------------


def test_a_server_that_is_not_there_is_an_error(database: Server) -> None:
    place = of_output(Server("postgresql://me@127.0.0.1:1/postgres", database.schema))
    with pytest.raises(LedgerError, match=r"cannot be reached: .*refused.*PGPASSWORD"):
        place.exists()


def test_a_database_that_is_not_there_is_an_error(database: Server) -> None:
    place = of_output(Server(other_database(database, "absent"), database.schema))
    with pytest.raises(LedgerError, match='database "absent" does not exist'):
        place.exists()


def test_a_wrong_password_is_an_error_that_does_not_show_it(
    database: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = f"me_{database.schema}"
    ask(database, f"CREATE ROLE {role} LOGIN PASSWORD 'right'")
    ((hba,),) = ask(database, "SHOW hba_file")
    before = Path(hba).read_text()
    Path(hba).write_text(f"host all {role} 127.0.0.1/32 scram-sha-256\n{before}")
    try:
        reload_configuration(database)
        place = of_output(Server(database.url.replace("postgres@", f"{role}@"), database.schema))
        monkeypatch.setenv("PGPASSWORD", "wrong-pass")
        with pytest.raises(LedgerError, match=r"PGPASSWORD, ~/\.pgpass or a service") as refused:
            place.exists()
        assert "wrong-pass" not in str(refused.value)
    finally:
        Path(hba).write_text(before)
        reload_configuration(database)


def test_a_user_without_rights_learns_which_are_needed(database: Server) -> None:
    role = f"me_{database.schema}"
    ask(database, f"CREATE ROLE {role} LOGIN")
    mine = Server(database.url.replace("postgres@", f"{role}@"), database.schema)
    with pytest.raises(LedgerError, match=r"permission denied.*CREATE"), opened(of_output(mine)):
        pass
    with opened(of_output(database)) as ledger:
        ledger.write([finished()])
    with pytest.raises(LedgerError, match=r"permission denied.*SELECT"):
        of_output(mine).open_read_only()
    ask(database, f"GRANT USAGE ON SCHEMA {database.schema} TO {role}")
    ask(database, f"GRANT SELECT ON ALL TABLES IN SCHEMA {database.schema} TO {role}")
    with closing(of_output(mine).open_read_only()) as ledger:
        assert list(ledger.rows_now(FOLDER)) == [NAME]


def test_a_full_disk_is_an_error_and_nothing_of_the_batch_is_written(database: Server) -> None:
    with opened(of_output(database)) as ledger:
        ask(
            database,
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$",
        )
        ask(
            database,
            "CREATE TRIGGER full_disk BEFORE INSERT ON runs EXECUTE FUNCTION full_disk()",
        )
        with pytest.raises(LedgerError, match="could not extend file; the disk of the server"):
            ledger.write([finished(), run_started("one")])
        assert ledger.rows_now(FOLDER) == {}
        ledger.write([finished()])
        assert list(ledger.rows_now(FOLDER)) == [NAME]


def test_a_database_of_another_encoding_is_refused(database: Server) -> None:
    ask(database, f"CREATE DATABASE {database.schema} ENCODING 'LATIN1' TEMPLATE template0")
    other = Server(other_database(database, database.schema), database.schema)
    with pytest.raises(LedgerError, match="encoding LATIN1; create one with UTF8"):
        of_output(other).exists()


def test_texts_with_nul_are_stored_without_it(database: Server) -> None:
    with opened(of_output(database)) as ledger:
        ledger.write([finished(etag="a\0b")])
        assert ledger.rows_now(FOLDER)[NAME].facts.etag == "a\N{REPLACEMENT CHARACTER}b"


@pytest.mark.parametrize(
    ("damage", "wrong"),
    [
        ("name = '../../../x.zip'", f"{FOLDER}../../../x.zip"),
        ("name = E'it''s \\\\.zip'", f"{FOLDER}it's \\.zip"),
        ("folder = '../'", "../"),
        ("size_bytes = -1", KEY),
        ("verdict = 'good'", KEY),
    ],
)
def test_the_error_of_an_odd_row_of_a_large_ledger_has_the_statement_that_deletes_it(
    database: Server, monkeypatch: pytest.MonkeyPatch, damage: str, wrong: str
) -> None:
    monkeypatch.setattr("crypto_lakehouse.ledger.postgres.unsound.CHECKED_BYTES", 0)
    place = of_output(database)
    for each in (place, of_output(database, "s3://bucket/it's another")):
        with opened(each) as ledger:
            ledger.write([finished()])
    ask(database, f"UPDATE archives SET {damage}")  # noqa: S608 - a constant
    with pytest.raises(LedgerError, match="a row that no run writes") as refused:
        list(recorded_series(place, lambda _: True))
    assert wrong in str(refused.value)
    _, found, statement = str(refused.value).partition("delete it in the database: ")
    assert found
    ask(database, statement)
    assert list(recorded_series(place, lambda _: True)) == []
    assert ask(database, "SELECT count(*) FROM archives") == [(1,)], "that of the other output"
