"""Commands that only read an object store use the copy of a ledger that is lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.cli.conftest import KEY, SELECTION, Shell
from tests.services.bucket import Bucket

from crypto_lakehouse.stores.objects.ledger_copy import COPY_KEY
from crypto_lakehouse.stores.objects.store import ObjectStore
from crypto_lakehouse.testing import ArchiveServer

ANSWERS = (
    ("verify",),
    ("verify", "--sample", "100%", "--seed", "1", "--combined", "-"),
    ("status", "--holes"),
    ("history", "--since", "2020-01-01"),
    ("history", KEY),
    ("history", KEY, "--as-of", "2100-01-01"),
)


@pytest.fixture(params=["ministack", "azurite"])
def bucket(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Bucket:
    bucket: Bucket = request.getfixturevalue(f"{request.param}_bucket")
    bucket.give_credentials(monkeypatch)
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_STORAGE", json.dumps(dict(bucket.storage)))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return bucket


@pytest.fixture
def url(bucket: Bucket, archive_server: ArchiveServer, shell: Shell) -> str:
    """A prefix that archives were collected into, of which one is gone."""
    url = bucket.fresh_prefix()
    code, _, err = shell(
        "collect", "-o", url, "--source-url", archive_server.url, "--partitions", "daily",
        *SELECTION,
    )  # fmt: skip
    assert code == 0, err
    store(bucket, url).client.delete(KEY.replace("/1h/", "/4h/").replace("-1h-", "-4h-"))
    return url


def store(bucket: Bucket, url: str) -> ObjectStore:
    return bucket.open(url)


def answers(shell: Shell, url: str) -> tuple[list[tuple[int, str]], list[str]]:
    found = [shell(*command, "-o", url) for command in ANSWERS]
    return [(code, out) for code, out, _ in found], [err for _, _, err in found]


def test_the_copy_gives_the_answers_of_the_ledger(
    bucket: Bucket, url: str, shell: Shell, tmp_path: Path
) -> None:
    expected, _ = answers(shell, url)
    assert [code for code, _ in expected] == [3, 3, 0, 0, 0, 0]
    shutil.rmtree(tmp_path / "state")
    before = list(store(bucket, url).client.objects(""))
    found, errors = answers(shell, url)
    assert found == expected
    for error in errors:
        assert f"in its place its copy `{url}/{COPY_KEY}` is read, which `collect` fetches" in error
    assert list(store(bucket, url).client.objects("")) == before
    assert not (tmp_path / "state").exists()


def test_a_damaged_copy_is_said(bucket: Bucket, url: str, shell: Shell, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "state")
    store(bucket, url).client.put(COPY_KEY, b"damaged")
    found, errors = answers(shell, url)
    assert [code for code, _ in found] == [0, 0, 2, 2, 2, 2]
    for error in errors:
        assert f"its copy `{url}/{COPY_KEY}` is damaged" in error
        assert "it is not known what was collected" in error
        assert "which fetches" not in error
    for each in store(bucket, url).client.objects("data/"):
        store(bucket, url).client.delete(each.key)
    code, _, err = shell("verify", "-o", url)
    assert (code, "no archive is below" in err, "is damaged" in err) == (2, True, True)


def test_a_damaged_archive_is_repaired_from_the_source_that_the_copy_names(
    bucket: Bucket, url: str, archive_server: ArchiveServer, shell: Shell, tmp_path: Path
) -> None:
    client = store(bucket, url).client
    good = client.read(KEY)
    client.put(KEY, b"rotten")
    shutil.rmtree(tmp_path / "state")
    repair = ("verify", "-o", url, "--repair")
    code, _, err = shell(*repair)
    assert (code, f"came from `{archive_server.url}`; name the source" in err) == (2, True), err
    code, out, err = shell(*repair, "--source-url", archive_server.url)
    assert (code, "1 repaired, 0 not" in out) == (3, True), err  # the deleted one is for `collect`
    assert client.read(KEY) == good
    assert len(list((tmp_path / "state").rglob("ledger.sqlite"))) == 1
