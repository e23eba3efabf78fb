"""Two object stores in which a prefix has the same URL: nothing of one is taken for the other's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import SELECTION, Shell
from tests.cli.conftest import collect as collect_into_a_directory
from tests.services.bucket import Bucket

from crypto_lakehouse.testing import ArchiveServer

COUNT = 13


@pytest.fixture
def use(
    ministack_bucket: Bucket, rclone_bucket: Bucket, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Bucket], None]:  # fmt: skip
    """Let the commands that follow use a store."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def use(bucket: Bucket) -> None:
        bucket.give_credentials(monkeypatch)
        monkeypatch.setenv("CRYPTO_LAKEHOUSE_STORAGE", json.dumps(dict(bucket.storage)))

    return use


@pytest.fixture
def url(ministack_bucket: Bucket, rclone_bucket: Bucket) -> str:
    """The URL of a prefix that is empty in both stores."""
    assert ministack_bucket.url == rclone_bucket.url
    return f"{ministack_bucket.fresh_prefix()}-in-both"


def collect(server: ArchiveServer, url: str) -> list[str]:
    return ["collect", "-o", url, "--source-url", server.url, "--partitions", "daily", *SELECTION]


def test_the_ledger_of_one_store_says_nothing_about_the_other(
    use: Callable[[Bucket], None],
    ministack_bucket: Bucket,
    rclone_bucket: Bucket,
    url: str,
    archive_server: ArchiveServer,
    shell: Shell,
) -> None:
    use(ministack_bucket)
    assert shell(*collect(archive_server, url))[0] == 0
    use(rclone_bucket)
    for question in (["status", "-o", url], ["history", "-o", url, "--since", "2020-01-01"]):
        code, out, err = shell(*question)
        assert (code, out, f"`{url}` has no ledger in" in err) == (2, "", True)
        assert "run `collect`, which fetches the copy of the ledger" in err
        assert "if its ledger is in PostgreSQL" in err
    code, out, err = shell(*collect(archive_server, url))
    assert (code, f"{COUNT} verified" in out) == (0, True), err
    use(ministack_bucket)
    code, out, err = shell(*collect(archive_server, url))
    assert (code, f"{COUNT} unchanged" in out) == (0, True), err
    assert "another machine" not in err


def test_the_lake_of_one_store_is_not_expected_in_the_other(
    use: Callable[[Bucket], None],
    ministack_bucket: Bucket,
    rclone_bucket: Bucket,
    url: str,
    archive_server: ArchiveServer,
    shell: Shell,
) -> None:
    assert shell(*collect_into_a_directory(archive_server))[0] == 0
    for bucket in (ministack_bucket, rclone_bucket):
        use(bucket)
        code, _, err = shell("query", "-o", "out", "--lake", url, "SELECT 1")
        assert (code, f"`{url}` has no lake" in err) == (2, True), err
        code, out, err = shell("ingest", "-o", "out", "--lake", url)
        assert (code, f"{COUNT} archives" in out) == (0, True), err
