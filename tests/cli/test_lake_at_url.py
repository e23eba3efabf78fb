"""Commands whose tables are at the URL of an object store, on real servers."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import polars as pl
import pytest
from tests.cli.conftest import SELECTION, Shell, collect
from tests.segments.live_samples import RECEIVED_US, SAMPLES
from tests.segments.test_live_segment import writer
from tests.services.bucket import Bucket
from tests.tables.at_url.lakes import LakeAtUrl

from crypto_lakehouse.core.errors import ConfigurationError
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.integrations.mcp.served import Served
from crypto_lakehouse.integrations.mcp.server import answer_of
from crypto_lakehouse.ledger.lock import output_lock
from crypto_lakehouse.segments.live_delivery import deliver_segment
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.stores.objects.conditions import honours_conditions
from crypto_lakehouse.stores.output import output_of
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.workflows.lake_config import LakeConfig
from crypto_lakehouse.workflows.wiring.stored_output import stored_config

COUNT = 13
ROWS = "SELECT count(*), count(DISTINCT (interval, open_time)) FROM spot.klines"


@pytest.fixture
def tree(shell: Shell, archive_server: ArchiveServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """A directory that 13 archives were collected into."""
    with monkeypatch.context() as patch:
        patch.delenv("CRYPTO_LAKEHOUSE_STORAGE", raising=False)  # it is for URLs
        code, _, err = shell(*collect(archive_server))
    assert code == 0, err
    return "out"


def rows(shell: Shell, url: str, *more: str) -> list[int]:
    code, out, err = shell("query", "-o", "out", "--lake", url, "-f", "json", *more, ROWS)
    assert code == 0, err
    return list(json.loads(out.splitlines()[0]).values())


def test_tables_of_a_directory_are_at_a_url(
    bucket: Bucket, tree: str, shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = bucket.fresh_prefix()
    code, out, err = shell("ingest", "-o", tree, "--lake", url)
    assert (code, f"{COUNT} archives" in out, f"tables in {url}\n" in out) == (0, True, True), err
    assert f"the catalog, the journals and the lock of {url} are in {tmp_path / 'state'}/" in err
    assert ("ignores conditions" in err) is not honours_conditions(bucket.open().client)
    whole = rows(shell, url)
    assert whole[0] == whole[1] > COUNT
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another machine"))
    code, out, err = shell("ingest", "-o", tree, "--lake", url)
    assert (code, f"{COUNT} unchanged" in out) == (0, True), err
    assert rows(shell, url) == whole
    overrides = {"output_directory": tree, "lake": url}
    place = Served(file=None, overrides=overrides, most_rows=9, timeout_s=60)
    answer = json.loads(anyio.run(answer_of, place, "query", {"sql": ROWS}))
    assert (answer["rows"], answer["has_more_rows"]) == ([whole], False)
    assert not (tmp_path / "out" / ".lakehouse" / "lake").exists()


def test_tables_are_beside_archives_in_the_store(
    bucket: Bucket, archive_server: ArchiveServer, shell: Shell
) -> None:
    url = bucket.fresh_prefix()
    code, out, err = shell(
        "collect", "-o", url, "--source-url", archive_server.url, "--partitions", "daily",
        *SELECTION, "--ingest",
    )  # fmt: skip
    assert (code, f"tables in {url}/.lakehouse/lake" in out + err) == (0, True), err
    code, out, err = shell("query", "-o", url, "-f", "json", ROWS)
    assert code == 0, err
    code, out, err = shell("ingest", "-o", url)
    assert (code, f"{COUNT} unchanged" in out) == (0, True), err
    check_recording(shell, url, bucket)


def check_recording(shell: Shell, url: str, bucket: Bucket) -> None:
    """A recorded bar is in queries, in the state folder and once its segment is stored."""
    sample = next(each for each in SAMPLES if each.kind is StreamKind.KLINE)
    output = output_of(stored_config(url))
    stage = LocalStore(output.state.path)
    recorder = writer(stage, market=sample.market, kind=sample.kind)
    recorder.write(RECEIVED_US, 1, sample.body)
    anyio.run(recorder.sync, RECEIVED_US)
    live = (
        "SELECT symbol, close, count(*) AS rows FROM spot.klines WHERE origin = 'live' GROUP BY ALL"
    )
    place = ["query", "-o", url, "-f", "csv", live]
    expected = '"symbol","close","rows"\n"BTCUSDT",1.5,1\n'
    for _ in range(2):
        code, out, err = shell(*place, "--live")
        assert (code, out) == (0, expected), err
        with Lake.open(url, storage=bucket.storage) as lake:
            scan = lake.scan("spot.klines", live=True)
            rows = scan.polars().filter(pl.col("origin") == "live").collect()
            assert rows["received_at"].dt.epoch("us").to_list() == [RECEIVED_US]
            assert scan.arrow().read_all().num_rows == scan.polars().collect().height
        for key in anyio.run(recorder.close, RECEIVED_US):
            anyio.run(deliver_segment, stage, output.store, key)
    assert not list(output.state.path.rglob("*.zst*"))
    code, _, err = shell(*place, "--live", "--as-of", "2026-01-01")
    assert (code, "rows that are not ingested yet are of now" in err) == (2, True)


def test_the_tables_are_maintained(bucket: Bucket, tree: str, shell: Shell) -> None:
    url = bucket.fresh_prefix()
    assert shell("ingest", "-o", tree, "--lake", url)[0] == 0
    assert shell("ingest", "-o", tree, "--lake", url, "--again")[0] == 0
    whole, place = rows(shell, url), ["-o", tree, "--lake", url]
    code, out, _ = shell("lake", "tables", *place)
    assert (code, out.count("snapshots"), "spot.klines: " in out) == (0, 2, True)
    assert shell("lake", "verify", *place)[0] == 0
    assert shell("lake", "compact", *place)[0] == 0
    code, out, _ = shell("lake", "expire", *place, "--older-than", "0d")
    assert (code, "spot.klines: 1 snapshot expired" in out) == (0, True), out
    code, out, _ = shell("lake", "sweep", *place)
    assert (code, "spot.klines: 0 files deleted" in out) == (0, True), "they are not a day old"
    code, out, _ = shell("lake", "sweep", *place, "--older-than", "0d")
    assert (code, f"spot.klines: {COUNT} files deleted" in out) == (0, False), out
    assert rows(shell, url) == whole
    code, out, err = shell("lake", "relocate", *place)
    assert (code, out) == (0, f"0 tables relocated to `{url}`\n"), err
    (folder,) = Path("state/crypto-lakehouse").glob("lake-*")
    with output_lock(folder / "lock"):
        assert shell("lake", "compact", *place)[0] == 11
        assert shell("ingest", *place)[0] == 11


def test_a_lake_is_relocated_between_a_directory_and_a_store(
    bucket: Bucket, tree: str, shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert shell("ingest", "-o", tree)[0] == 0
    made, url = tmp_path / "out" / ".lakehouse" / "lake", bucket.fresh_prefix()
    code, out, err = shell("query", "-o", tree, "-f", "json", ROWS)
    whole = list(json.loads(out.splitlines()[0]).values())
    client = bucket.open(url).client
    for path in [each for each in made.rglob("*") if each.is_file()]:
        client.put(path.relative_to(made).as_posix(), path.read_bytes())
    place = ["-o", tree, "--lake", url]
    for command in (["ingest"], ["query", "SELECT 1"], ["lake", "tables"]):
        code, _, err = shell(*command, *place)
        assert (code, f"`{url}` is the copy of a lake" in err) == (2, True), err
    code, out, err = shell("lake", "relocate", *place, "--dry-run")
    assert (code, out.endswith(f"2 tables would be relocated to `{url}`\n")) == (0, True), err
    code, out, err = shell("lake", "relocate", *place)
    assert (code, f"it named `{made}`\n" in out, out.count("\n")) == (0, True, 3), err
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another machine"))
    assert rows(shell, url) == whole
    code, out, err = shell("ingest", *place)
    assert (code, f"{COUNT} unchanged" in out) == (0, True), err
    back = tmp_path / "back" / ".lakehouse" / "lake"
    for info in client.objects(""):
        path = back / info.key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(client.read(info.key) or b"")
    monkeypatch.delenv("CRYPTO_LAKEHOUSE_STORAGE")
    code, _, err = shell("ingest", "-o", "back")
    assert (code, "is the copy of a lake" in err) == (2, True), err
    code, out, err = shell("lake", "relocate", "-o", "back")
    assert (code, f"it named `{url}`\n" in out) == (0, True), err
    assert json.loads(shell("query", "-o", "back", "-f", "json", ROWS)[1]) == json.loads(
        shell("query", "-o", tree, "-f", "json", ROWS)[1]
    )


def test_a_lake_is_copied_and_relocated_by_one_command(
    bucket: Bucket, tree: str, shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert shell("ingest", "-o", tree)[0] == 0
    made, url = tmp_path / "out" / ".lakehouse" / "lake", bucket.fresh_prefix()
    whole = shell("query", "-o", tree, "-f", "json", ROWS)[1]
    count = sum(path.is_file() for path in (made / "warehouse").rglob("*"))
    place = ["-o", tree, "--lake", url]
    code, out, err = shell("lake", "relocate", *place, "--from", tree, "--dry-run")
    assert (code, f"{count} files would be copied from `{made}`: " in out) == (0, True), err
    assert not [*bucket.open(url).client.objects("")]
    code, out, err = shell("lake", "relocate", *place, "--from", tree)
    assert (code, f"{count} files copied from `{made}`: " in out) == (0, True), err
    assert f"{count} files to copy from `{made}`: " in err
    assert out.endswith(f"2 tables relocated to `{url}`\n")
    assert shell("query", *place, "-f", "json", ROWS)[1] == whole
    code, _, err = shell("lake", "relocate", *place, "--from", tree)
    assert (code, "it has tables already" in err) == (1, True), err
    assert shell("lake", "relocate", *place, "--from", tree, "--catalog", "x")[0] == 2
    Path("back").mkdir()
    code, out, err = shell("lake", "relocate", "-o", "back", "--from", url, "--json")
    facts = json.loads(out)
    assert (code, facts["copied"]["source"], facts["copied"]["tables"]) == (0, url, 2), err
    assert facts["lake"] == str(tmp_path / "back" / ".lakehouse" / "lake")
    monkeypatch.delenv("CRYPTO_LAKEHOUSE_STORAGE")
    assert shell("query", "-o", "back", "-f", "json", ROWS)[1] == whole
    code, _, err = shell("lake", "relocate", "-o", "new", "--lake", "new", "--from", "absent")
    assert (code, "--from" in err) == (2, True), err


def test_a_lake_that_is_not_there(bucket: Bucket, shell: Shell) -> None:
    url = bucket.fresh_prefix()
    code, _, err = shell("query", "-o", "out", "--lake", url, "SELECT 1")
    assert (code, f"`{url}` has no lake; `crypto-lakehouse ingest` creates one" in err) == (2, True)
    code, _, err = shell("lake", "tables", "-o", f"{bucket.url}-absent/x")
    assert code == 2
    assert "NoSuchBucket" in err


def test_python_opens_a_lake_at_a_url(bucket: Bucket, tree: str, shell: Shell) -> None:
    url = bucket.fresh_prefix()
    assert shell("ingest", "-o", tree, "--lake", url)[0] == 0
    with Lake.open(url, storage=bucket.storage) as lake:
        hours = lake.scan("spot.klines", interval="1h")
        assert hours.polars().collect().height == hours.arrow().read_all().num_rows == 24
        assert hours.duckdb().aggregate("count(*)").fetchall() == [(24,)]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"lake": "s3://bucket/lake", "format": "parquet"}, "need a local directory"),
        ({"output_directory": "s3://b1/x", "format": "parquet"}, "need a local directory"),
        ({"lake": "ftp://bucket/lake"}, "`ftp://` is not supported"),
        ({"lake": "s3://bucket//lake"}, "is not a key prefix"),
        ({"state_directory": "s3://bucket/state"}, "must be a local directory, not a URL"),
        ({"lake": "s3://key:secret@bucket/lake"}, "must not contain credentials"),
    ],
)
def test_places_that_tables_cannot_have(values: dict[str, str], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        LakeConfig({"output_directory": "data", **values}, environ={})


@pytest.mark.parametrize("url", ["ftp://bucket/lake", "s3://bucket/x?y=z", "s3://bucket//x"])
def test_python_refuses_what_is_no_lakes_url(url: str) -> None:
    wanted = r"is not supported|must not have a query|is not a key prefix"
    with pytest.raises(ConfigurationError, match=wanted):
        Lake.open(url)
    with pytest.raises(ConfigurationError, match="must be a local directory, not a URL"):
        Lake.open("s3://bucket/x", state_directory=url)


def test_a_query_reads_the_tables_only(
    bucket: Bucket, tree: str, tmp_path: Path, shell: Shell
) -> None:
    url = bucket.fresh_prefix()
    assert shell("ingest", "-o", tree, "--lake", url)[0] == 0
    lake = LakeAtUrl.in_bucket(bucket, tmp_path, url)
    own = next(each.key for each in lake.client.objects("warehouse/") if "parquet" in each.key)
    for place in (f"{url}/{own}", "/etc/passwd", str(next(tmp_path.rglob("*.zip")))):
        code, out, err = shell(
            "query",
            "-o",
            "out",
            "--lake",
            url,
            f"SELECT * FROM read_blob('{place}')",  # noqa: S608
        )
        assert (code, out) == (2, ""), (place, err)
