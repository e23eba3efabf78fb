"""The servers run, and do what tests on them rely on."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from attrs import evolve
from tests.services import installed
from tests.services.azurite import azurite
from tests.services.bucket import Bucket
from tests.services.gcs import gcs
from tests.services.ministack import ministack
from tests.services.postgres import PostgresServer
from tests.services.rclone import rclone
from tests.services.running import free_port, running

from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.stores.objects.errors import ConditionFailed

BUCKETS = ["ministack_bucket", "rclone_bucket", "azurite_bucket", "gcs_bucket"]


@pytest.fixture(params=BUCKETS)
def bucket(request: pytest.FixtureRequest) -> Bucket:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Bucket)
    return found


def test_each_server_keeps_what_it_is_given(bucket: Bucket) -> None:
    client = bucket.open().client
    client.put("a/b", b"bytes", sha256="digest")
    assert client.read("a/b") == b"bytes"
    assert [info.key for info in client.objects("")] == ["a/b"]
    assert client.read("a") is None


def test_prefixes_of_one_bucket_are_apart(bucket: Bucket) -> None:
    bucket.open().client.put("a", b"bytes")
    assert list(bucket.open().client.objects("")) == []


@pytest.mark.parametrize("start", [ministack, rclone, azurite, gcs])
def test_a_server_ends_with_its_context(
    start: Callable[[Path], AbstractContextManager[Bucket]], tmp_path: Path
) -> None:
    with start(tmp_path) as bucket:
        url = urlsplit(bucket.storage["endpoint"])
        address = (url.hostname, url.port)
        socket.create_connection(address).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


def test_rclone_checks_signatures(rclone_bucket: Bucket) -> None:
    environment = {**rclone_bucket.environment, "AWS_SECRET_ACCESS_KEY": "wrong"}
    client = evolve(rclone_bucket, environment=environment).open().client
    with pytest.raises(StoreError, match="403 SignatureDoesNotMatch"):
        client.put("a", b"bytes")


@pytest.mark.parametrize("name", ["ministack_bucket", "azurite_bucket", "gcs_bucket"])
def test_conditions_are_checked(name: str, request: pytest.FixtureRequest) -> None:
    client = request.getfixturevalue(name).open().client
    first = client.put_if("a", b"1", etag=None)
    with pytest.raises(ConditionFailed):
        client.put_if("a", b"2", etag=None)
    second = client.put_if("a", b"3", etag=first.etag)
    with pytest.raises(ConditionFailed):
        client.put_if("a", b"4", etag=first.etag)
    assert client.read("a") == b"3"
    assert second.etag != first.etag


def test_postgres_answers(postgres_server: PostgresServer) -> None:
    psql = str(installed.program("postgres").with_name("psql"))
    command = [psql, postgres_server.url(), "--tuples-only", "--no-align"]
    done = subprocess.run(
        [*command, "--command=select 6 * 7"], check=True, capture_output=True, text=True
    )
    assert done.stdout == "42\n"


def test_a_server_that_does_not_start_is_an_error_with_its_output(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('no disk'); raise SystemExit(1)"]
    with (
        pytest.raises(RuntimeError, match="no disk"),
        running(command, free_port(), tmp_path / "log"),
    ):
        pass


def test_a_server_that_is_absent_skips_the_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installed, "_NAMED", str(tmp_path))
    assert installed.absent() == [*installed.PROGRAMS]
    with pytest.raises(pytest.skip.Exception, match="rclone IS NOT INSTALLED: run `make servers`"):
        installed.program("rclone")


def test_the_double_of_gcs_refuses_what_has_no_token(gcs_bucket: Bucket) -> None:
    address = urlsplit(gcs_bucket.storage["endpoint"])
    with closing(HTTPConnection(address.netloc)) as connection:
        connection.request("GET", "/archive/a")
        assert connection.getresponse().status == 401
