"""Commands whose `--output` is the URL of an object store, on real servers."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.cli.conftest import KEY, SELECTION, Shell
from tests.services.bucket import Bucket

from crypto_lakehouse.core.archive import SIDECAR_SUFFIX
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.conditions import honours_conditions
from crypto_lakehouse.stores.output import output_of
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.workflows.wiring.stored_output import stored_config

COUNT = 13


@pytest.fixture
def url(bucket: Bucket, archive_server: ArchiveServer, shell: Shell) -> str:
    """A prefix that 13 archives were collected into."""
    url = bucket.fresh_prefix()
    code, out, err = shell(*collect(archive_server, url))
    assert (code, f"{COUNT} verified" in out) == (0, True), err
    return url


def collect(server: ArchiveServer, url: str, *more: str) -> list[str]:
    return ["collect", "-o", url, "--source-url", server.url, "--partitions", "daily",
            *SELECTION, *more]  # fmt: skip


def test_a_store_without_conditions_is_warned_of(
    bucket: Bucket, url: str, archive_server: ArchiveServer, shell: Shell
) -> None:
    code, _, err = shell(*collect(archive_server, url))
    assert code == 0
    has_warning = "only the lock in the state folder protects the output" in err
    assert has_warning is not honours_conditions(bucket.open().client)


def test_a_second_run_and_a_plan_know_what_is_stored(
    url: str, archive_server: ArchiveServer, shell: Shell
) -> None:
    archive_server.clear()
    code, out, _ = shell(*collect(archive_server, url))
    assert (code, f"{COUNT} unchanged" in out) == (0, True)
    assert not [each for each in archive_server.requests if each.path.endswith(".zip")]
    code, out, _ = shell("plan", *collect(archive_server, url, "--json")[1:])
    totals = json.loads(out)["totals"]
    assert (code, totals["verified"], totals["requests"]) == (0, COUNT, 0)
    code, out, _ = shell(*collect(archive_server, url, "--dry-run", "--json"))
    totals = json.loads(out)["totals"]
    assert (code, totals["verified"], totals["requests"]) == (0, COUNT, 0)


def test_worker_processes_write_to_the_store(
    bucket: Bucket, archive_server: ArchiveServer, shell: Shell
) -> None:
    url = bucket.fresh_prefix()
    code, out, err = shell(*collect(archive_server, url, "--processes", "2"))
    assert (code, f"{COUNT} verified" in out) == (0, True), err
    code, out, _ = shell("verify", "-o", url)
    assert (code, f"{COUNT} archives checked: {COUNT} ok" in out) == (0, True)


def test_a_run_and_status_say_where_the_ledger_is(
    url: str, archive_server: ArchiveServer, shell: Shell, tmp_path: Path
) -> None:
    note = f"the ledger of {url} is in {tmp_path / 'state' / 'crypto-lakehouse'}/"
    assert note in shell(*collect(archive_server, url))[2]
    code, out, err = shell("status", "-o", url)
    assert (code, f"{COUNT} series" in out, note in err) == (0, True, True)
    code, out, _ = shell("config", "show", "-o", url, *SELECTION, "--json")
    (state,) = (tmp_path / "state" / "crypto-lakehouse").iterdir()
    assert (code, json.loads(out)["state_directory"]) == (
        0,
        {"value": str(state), "from": "default"},
    )


def test_verify_samples_sums_and_repairs(
    url: str, archive_server: ArchiveServer, bucket: Bucket, shell: Shell, tmp_path: Path
) -> None:
    code, out, _ = shell("verify", "-o", url, "--sample", "5", "--seed", "1")
    assert (code, "5 archives checked: 5 ok" in out) == (0, True)
    code, out, _ = shell("verify", "-o", url, "--since", "2100-01-01")
    assert (code, "0 archives checked" in out) == (0, True)
    code, out, _ = shell("verify", "-o", url, "--sums", "SUMS", "--since", "2020-01-01")
    assert (code, len((tmp_path / "SUMS").read_text().splitlines())) == (0, COUNT)
    client: ObjectClient = bucket.open(url).client
    good = client.read(KEY)
    client.put(KEY, b"rotten")
    code, out, _ = shell("verify", "-o", url)
    assert (code, "1 damaged" in out) == (4, True)
    code, out, err = shell("verify", "-o", url, "--repair", "--source-url", archive_server.url)
    assert (code, "1 repaired, 0 not" in out) == (0, True), err
    assert client.read(KEY) == good


def test_history_lists_writes_and_prunes(
    url: str, archive_server: ArchiveServer, shell: Shell, tmp_path: Path
) -> None:
    from tests.workflows.conftest import make_zip, member_of, sidecar_of

    news = make_zip(member_of(KEY), b"1,2,3\n")
    archive_server.put(KEY, news)
    archive_server.put(KEY + SIDECAR_SUFFIX, sidecar_of(news, KEY.rpartition("/")[2]))
    listed = collect(archive_server, url, "--listing-url", archive_server.url)
    assert shell(*listed)[0] == 0
    for key in (KEY, f"{url}/{KEY}"):
        code, out, _ = shell("history", "-o", url, key, "--json")
        versions = json.loads(out)["versions"]
        assert (code, [item.get("change") for item in versions]) == (0, ["replaced", None])
    code, out, _ = shell("history", "-o", url, KEY, "--as-of", "2100-01-01", "--json")
    assert (code, json.loads(out)["bytes_path"]) == (0, f"{url}/{KEY}")
    code, _, _ = shell("history", "-o", url, KEY, "--as-of", "2100-01-01", "--write", "out.zip")
    assert (code, (tmp_path / "out.zip").read_bytes()) == (0, news)
    code, out, _ = shell("history", "-o", url, "--prune", "0")
    assert (code, "1 replaced version removed" in out) == (0, True)


def test_quarantined_objects_are_listed_and_collected_again(
    bucket: Bucket, archive_server: ArchiveServer, shell: Shell
) -> None:
    url = bucket.fresh_prefix()
    good = archive_server.read(KEY)
    archive_server.put(KEY, b"no zip")
    assert shell(*collect(archive_server, url))[0] == 4
    code, out, _ = shell("verify", "-o", url, "--json")
    assert json.loads(out)["quarantine"]["archives"][0]["key"] == KEY
    archive_server.put(KEY, good)
    for option in ("--retry-failed", "--only=quarantined"):
        code, out, err = shell("collect", "-o", url, option, "--source-url", archive_server.url)
        assert code == 0, err


def test_a_run_holds_the_lock_of_its_url(
    url: str, archive_server: ArchiveServer, shell: Shell
) -> None:
    from crypto_lakehouse.ledger.lock import output_lock

    with output_lock(output_of(stored_config(url)).state.lock):
        assert shell(*collect(archive_server, url))[0] == 11
        assert shell(*collect(archive_server, url, "--wait=10ms"))[0] == 11
        assert shell("history", "-o", url, "--prune", "0")[0] == 11


def test_bodies_that_cannot_be_resumed_are_told_once(
    url: str, archive_server: ArchiveServer, shell: Shell
) -> None:
    with closing(sqlite3.connect(output_of(stored_config(url)).state.ledger)) as ledger, ledger:
        for name in ("a.zip", "b.zip"):
            ledger.execute("INSERT INTO parts VALUES (?, ?, ?, ?, ?)", ("data/", name, "e", "", 9))
    note = (
        "2 large bodies of an earlier run were not finished; an object store cannot resume them, "
        "and they begin again"
    )
    assert note in shell(*collect(archive_server, url))[2]
    assert "cannot resume" not in shell(*collect(archive_server, url))[2]


def test_archives_at_a_url_are_validated_and_ingested(
    url: str, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = shell("validate", "-o", url, "--json")
    assert (code, json.loads(out)["archives"]) == (0, COUNT), err
    code, out, err = shell("ingest", "-o", url, "--lake", str(tmp_path / "lake"))
    assert (code, f"{COUNT} good" in out) == (0, True), err
    code, out, _ = shell("ingest", "-o", url, "--lake", str(tmp_path / "lake"), "--json")
    tables = json.loads(out)["tables"]
    assert (code, sum(each["unchanged"] for each in tables)) == (0, COUNT)
    monkeypatch.delenv("CRYPTO_LAKEHOUSE_STORAGE")
    code, out, err = shell("validate", "-o", url, "--storage", "region")
    assert (code, "--storage: " in err) == (2, True), err


def test_what_is_collected_into_a_url_is_ingested(
    bucket: Bucket, archive_server: ArchiveServer, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = collect(archive_server, bucket.fresh_prefix(), "--ingest")
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_LAKE_LAKE", "lake")
    code, out, err = shell(*command)
    assert (code, f"{COUNT} verified" in out, f"{COUNT} good" in out) == (0, True, True), err


@pytest.mark.parametrize("command", [["verify"], ["status"], ["history", KEY]], ids=" ".join)
def test_a_prefix_that_nothing_was_collected_into_is_refused(
    bucket: Bucket, shell: Shell, command: list[str]
) -> None:
    code, out, err = shell(*command, "-o", bucket.fresh_prefix())
    assert (code, out, "has no ledger" in err) == (2, "", True)


def test_a_bucket_that_is_not_there_ends_every_command_alike(
    bucket: Bucket, archive_server: ArchiveServer, shell: Shell
) -> None:
    errors = set()
    url = "s3://absent/prefix"
    asked = collect(archive_server, url)
    for command in (
        ["verify", "-o", url],
        [*asked, "--quiet"],
        [*asked, "--quiet", "--processes", "2"],
        [*asked, "--quiet", "--dry-run"],
        ["plan", *asked[1:]],
        ["status", "-o", url],
        ["history", "-o", url, "--since", "2020-01-01"],
    ):
        code, out, err = shell(*command)
        assert (code, out) == (2, ""), err
        errors.add(re.sub(r" \(.*\);", ";", err.splitlines()[-1]))
    advice = "create it, or correct its name in the URL, and `storage`"
    assert {each.replace("data/spot/daily/klines/", "data/") for each in errors} == {
        f"error: `{url}/data/`: 404 NoSuchBucket; {advice}"
    }


def test_credentials_that_are_refused_end_every_command_alike(
    rclone_bucket: Bucket, archive_server: ArchiveServer, shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    rclone_bucket.give_credentials(monkeypatch)
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_STORAGE", json.dumps(dict(rclone_bucket.storage)))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    url = rclone_bucket.fresh_prefix()
    for command in (["verify", "-o", url], collect(archive_server, url)):
        code, out, err = shell(*command)
        assert (code, out, "renew the credentials" in err) == (2, "", True), err
