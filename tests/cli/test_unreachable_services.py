"""Services that the configuration names and that cannot be reached: one exit code everywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from attrs import frozen
from tests.cli.conftest import KEY, SELECTION, Shell
from tests.ledger.postgres.test_lost_connections import cutting
from tests.services.bucket import Bucket
from tests.services.postgres import PostgresServer

from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.core.redaction import redact
from crypto_lakehouse.stores.objects import opening
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.testing import ArchiveServer

pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")


@frozen
class Forwarded:
    """A service behind a port of this machine.

    Attributes:
        url: The service, as it is reached through the port.
        close: Closes the port, so that the service cannot be reached any more.
    """

    url: str
    close: ExitStack


@contextmanager
def forwarded(url: str) -> Iterator[Forwarded]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    with ExitStack() as close:
        cutter = close.enter_context(cutting((parts.hostname, parts.port or 0)))
        port = cutter.listener.getsockname()[1]
        yield Forwarded(url.replace(f":{parts.port}", f":{port}"), close)


@pytest.fixture
def collected(
    archive_server: ArchiveServer, ministack_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """The options of a collection."""
    ministack_bucket.give_credentials(monkeypatch)
    monkeypatch.setattr(opening, "_RETRIES", {**opening._RETRIES, "max_retries": 0})
    return [*SELECTION, "-i", "1h", "--source-url", archive_server.url]


def check(shell: Shell, commands: list[list[str]], place: list[str], said: str) -> None:
    for command in commands:
        code, _, err = shell(*command, *place)
        assert (code, said in err, "Traceback" in err) == (5, True, False), (command, err)


#: Commands that use the tables of a lake, and those that read archives or the ledger.
OF_LAKE = [
    ["lake", "tables"],
    ["lake", "verify"],
    ["lake", "compact"],
    ["lake", "expire", "--older-than", "0"],
    ["lake", "sweep", "--older-than", "0"],
    ["query", "SELECT 1"],
    ["ingest"],
]
OF_OUTPUT = [["verify"], ["verify", "--repair"], ["history", "--prune", "0"], ["validate"]]


def test_an_object_store(
    collected: list[str],
    ministack_bucket: Bucket,
    shell: Shell,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = ministack_bucket.fresh_prefix()
    with forwarded(ministack_bucket.storage["endpoint"]) as service:
        storage = {**ministack_bucket.storage, "endpoint": service.url}
        monkeypatch.setenv("CRYPTO_LAKEHOUSE_STORAGE", json.dumps(storage))
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        place = ["-o", url]
        assert shell("collect", "--ingest", *place, *collected)[0] == 0
        service.close.close()
        said = "it cannot be reached, or does not answer; run again later"
        runs = [["collect", *collected], ["collect", "--ingest", *collected], ["plan", *collected]]
        check(shell, [*runs, *OF_OUTPUT, *OF_LAKE], place, said)


def test_a_ledger_in_postgresql(
    collected: list[str],
    postgres_server: PostgresServer,
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_LEDGER_SCHEMA", f"away_{uuid4().hex}")
    with forwarded(postgres_server.url()) as service:
        place = ["-o", "out", "--ledger", service.url]
        assert shell("collect", *place, *collected)[0] == 0
        service.close.close()
        runs = [["collect", *collected], ["collect", "--ingest", *collected], ["plan", *collected]]
        others = [["status"], ["history", KEY], ["ingest"]]
        check(shell, [*runs, *OF_OUTPUT, *others], place, "the ledger cannot be reached: ")


def test_a_catalog_in_postgresql(
    collected: list[str], postgres_server: PostgresServer, shell: Shell
) -> None:
    with forwarded(postgres_server.url()) as service:
        assert shell("collect", "-o", "out", *collected)[0] == 0
        place = ["-o", "out", "--catalog", service.url]
        assert shell("ingest", *place)[0] == 0
        with Lake.open("out", catalog=service.url) as lake:
            assert lake.tables
            service.close.close()
            with pytest.raises(LakeError, match=r"its catalog `postgresql://.*` cannot be used: "):
                _ = lake.tables
        said = f"its catalog `{redact(service.url)}` cannot be used: connection failed: "
        check(shell, OF_LAKE, place, said)
