"""Claims of series: which of two runs has one, and when it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from tests.ledger.postgres.test_lost_connections import END_ALL
from tests.ledger.postgres.test_place import ask
from tests.stores.conftest import FOLDER, KEY, body_started, finished

from crypto_lakehouse.core.errors import LockHeldError, LostLockError
from crypto_lakehouse.core.ledger_protocols import Claims
from crypto_lakehouse.ledger.place import do_nothing
from crypto_lakehouse.ledger.postgres.identity import UrlIdentity
from crypto_lakehouse.ledger.postgres.ledger import PostgresLedger
from crypto_lakehouse.ledger.postgres.place import PostgresPlace
from crypto_lakehouse.ledger.postgres.server import Server

pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")


def shared(database: Server, name: str = "s3://bucket/prefix") -> PostgresPlace:
    return PostgresPlace(database, UrlIdentity(name), allows_many=True, reconnect_within_s=5)


@contextmanager
def run(database: Server, name: str = "s3://bucket/prefix") -> Iterator[PostgresLedger]:
    place = shared(database, name)
    with place.locked(alone=False):
        ledger, _ = place.open()
        with closing(ledger):
            yield ledger


def claims_of(ledger: PostgresLedger) -> Claims:
    assert ledger.claims is not None
    return ledger.claims


def test_a_claim_ends_once_the_ledger_has_a_verdict_on_each_archive(database: Server) -> None:
    with run(database) as one, run(database) as two, run(database, "s3://other") as other:
        assert claims_of(one).take(FOLDER)
        claims_of(one).works_on(FOLDER, [KEY, "another"])
        assert not claims_of(two).take(FOLDER)
        assert claims_of(other).take(FOLDER), "it is another output's"
        claims_of(one).settled(["another", "of no claim"])
        assert not claims_of(two).take(FOLDER)
        one.write([finished()])
        assert claims_of(two).take(FOLDER)


def test_a_claim_without_work_ends_at_once(database: Server) -> None:
    with run(database) as one, run(database) as two:
        assert claims_of(one).take(FOLDER)
        claims_of(one).works_on(FOLDER, [])
        assert claims_of(two).take(FOLDER)


def test_a_claim_ends_with_its_run(database: Server) -> None:
    with run(database) as two:
        with run(database) as one:
            claims_of(one).take(FOLDER)
        while not claims_of(two).take(FOLDER):
            pass  # the server ends a connection within moments


def test_one_that_must_be_alone_is_refused_by_any_run(database: Server) -> None:
    with run(database), run(database):
        with pytest.raises(LockHeldError) as refused, shared(database).locked():
            pass
        assert refused.value.holder.count("on 127.0.0.1") == 2
    with shared(database).locked(), pytest.raises(LockHeldError), run(database):
        pass


def test_claims_are_taken_again_over_a_new_connection(database: Server) -> None:
    with run(database) as one, run(database) as two:
        claims_of(one).take(FOLDER)
        claims_of(one).works_on(FOLDER, [KEY])
        ask(database, END_ALL)
        assert claims_of(one).take("another"), "it has connected again"
        assert not claims_of(two).take(FOLDER)


def test_the_ledger_is_read_again_for_what_was_claimed_when_the_connection_was_lost(
    database: Server,
) -> None:
    with run(database) as one:
        claims = claims_of(one)
        claims.take(FOLDER)
        claims.works_on(FOLDER, [KEY, "another"])
        assert claims.is_sure(KEY)
        ask(database, END_ALL)
        with run(database) as two:
            assert claims_of(two).take(FOLDER)
            assert not claims.is_sure(KEY), "the server has said that it ends the connection"
            with pytest.raises(LostLockError, match="another run has taken over"):
                claims.lost([KEY], do_nothing)
    with run(database) as one:
        claims = claims_of(one)
        claims.take(FOLDER)
        claims.works_on(FOLDER, [KEY, "another"])
        ask(database, END_ALL)
        with run(database) as two:
            claims_of(two).take(FOLDER)
            claims_of(two).works_on(FOLDER, [])
            assert [*claims.lost([KEY, "another", "of no claim"], do_nothing)] == [KEY, "another"]
            assert not claims.is_sure(KEY), "it was lost before, and is sure since"
            claims.reads_again([KEY, "of no claim"], claims.losses)
            assert claims.is_sure(KEY)
            assert [*claims.lost([KEY, "another"], do_nothing)] == ["another"]


def test_an_answer_proves_a_claim_for_some_time(
    database: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run(database) as one:
        claims_of(one).take(FOLDER)
        monkeypatch.setattr("crypto_lakehouse.ledger.postgres.session._PROVEN_S", 0.0)
        assert not claims_of(one).is_sure(KEY)
        monkeypatch.undo()
        assert claims_of(one).lost([KEY], do_nothing) == []
        assert claims_of(one).is_sure(KEY)


def test_a_run_whose_claim_was_taken_meanwhile_ends(database: Server) -> None:
    with run(database) as one:
        claims_of(one).take(FOLDER)
        claims_of(one).works_on(FOLDER, [KEY])
        ask(database, END_ALL)
        with run(database) as two:
            assert claims_of(two).take(FOLDER)
            with pytest.raises(LostLockError, match="another run has taken over"):
                one.write([finished()])
            assert two.rows_now(FOLDER) == {}


def test_bodies_of_a_run_in_progress_are_not_forgotten(database: Server) -> None:
    with run(database) as one:
        one.write([body_started()])
        with run(database):
            assert shared(database).forget_unfinished() == 0
        while not (count := shared(database).forget_unfinished()):
            pass  # until the server has ended the connection
        assert count == 1
