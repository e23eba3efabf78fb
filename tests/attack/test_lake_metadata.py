"""A lake whose tables' metadata came from elsewhere: nothing outside it is touched.

pyiceberg takes the properties of a table for settings of its file access. Each command ends with an
error that names the property; no other lake is read, written or swept, no module is imported, and
no request is made.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.attack.conftest import DAYS, FOLDER, Ended, digests, run, three_days
from tests.attack.raw_source import RawSource, kline_zip, sidecar_of

from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.local_io import LAKE_ROOT, LocalIO

LAKE = "out/.lakehouse/lake"
NEW = f"{FOLDER}BTCUSDT-1h-2025-07-13.zip"
QUERY = "SELECT count(*) AS n, sum(close) AS c FROM spot.klines"

COMMANDS = (
    ("query", "-o", "out", QUERY), ("ingest", "-o", "out"),
    ("lake", "sweep", "-o", "out"), ("lake", "expire", "-o", "out", "--older-than", "0"),
    ("lake", "compact", "-o", "out"), ("lake", "verify", "-o", "out"),
    ("lake", "relocate", "-o", "out"),
)  # fmt: skip

#: Properties that must not be believed, and their values; VICTIM is another lake, PORT a server.
PROPERTIES = {
    "crypto-lakehouse.root": "VICTIM",
    "py-io-impl": "planted_module.Files",
    "write.py-location-provider.impl": "planted_module.Places",
    "write.location-provider.impl": "planted_module.Places",
    "write.data.path": "file://VICTIM/warehouse/spot/klines/data",
    "write.metadata.path": "file://VICTIM/warehouse/lakehouse/archives/metadata",
    "write.object-storage.path": "s3://bucket/warehouse/spot/klines",
    "warehouse": "file://VICTIM/warehouse",
    "uri": "sqlite:///VICTIM/catalog.db",
    "s3.endpoint": "http://127.0.0.1:PORT",
    "s3.proxy-uri": "http://127.0.0.1:PORT",
    "s3.signer.uri": "http://127.0.0.1:PORT",
    "gcs.service.host": "http://127.0.0.1:PORT",
    "adls.connection-string": "BlobEndpoint=http://127.0.0.1:PORT",
    "hdfs.host": "127.0.0.1",
    "client.region": "us-east-1",
    "encryption.kms-impl": "planted_module.Keys",
    "DEFAULT_SCHEME": "s3",
    "anything.else": "1",
}  # fmt: skip


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with two days of a series, ingested in two commits, and a third one to ingest."""
    place = tmp_path_factory.mktemp("metadata")
    with contextlib.chdir(place), three_days() as source:
        for day in DAYS[:2]:
            assert run(*collect(source, day)).code == 0
    data = kline_zip(NEW)
    (place / "out" / NEW).write_bytes(data)
    (place / f"out/{NEW}.CHECKSUM").write_bytes(sidecar_of(data, NEW))
    return place / "out"


def collect(source: RawSource, day: str) -> list[str]:
    return (
        "collect -o out --markets spot -s BTCUSDT -t klines -i 1h --discovery calendar -q "
        f"--start {DAYS[0]} --end {day} --source-url {source.url} --max-retries 0 --ingest"
    ).split()


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that a module writes if it is imported."""
    folder = tmp_path / "modules"
    folder.mkdir()
    mark = tmp_path / "imported"
    (folder / "planted_module.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "planted_module", raising=False)
    return mark


def restore(template: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Put a fresh copy of the template here, with its tables' metadata changed."""
    shutil.rmtree("out", ignore_errors=True)
    shutil.copytree(template, "out")
    for path in Path(LAKE, "warehouse").glob("*/*/metadata/*.json"):
        plain = json.loads(path.read_text())
        change(plain)
        path.write_text(json.dumps(plain))


def victim_of(template: Path) -> Path:
    """Another lake, with a file that a sweep would delete."""
    victim = Path("victim").resolve()
    shutil.copytree(template / ".lakehouse/lake", victim)
    for table in ("spot/klines", "lakehouse/archives"):
        precious = victim / f"warehouse/{table}/data/precious.parquet"
        precious.write_text("x")
        os.utime(precious, (1, 1))
    return victim


def kept() -> dict[str, str]:
    """The files of the changed table, and all data files."""
    found = digests(Path(LAKE, "warehouse"))
    return {name: each for name, each in found.items() if "/spot/" in name or "/data" in name}


def refused(ended: Ended, word: str) -> bool:
    return ended.code == 1 and word in ended.err and "move the lake away" in ended.err


@pytest.mark.parametrize("name", PROPERTIES)
def test_a_property_that_leads_out_of_the_lake_is_refused(
    template: Path, server: socket.socket, planted: Path, name: str
) -> None:
    victim = victim_of(template)
    port = str(server.getsockname()[1])
    value = PROPERTIES[name].replace("VICTIM", str(victim)).replace("PORT", port)
    before = digests(victim)

    for command in COMMANDS:
        restore(template, lambda plain: plain["properties"].update({name: value}))
        files = digests(Path(LAKE, "warehouse"))
        ended = run(*command)
        assert refused(ended, f"`{name}`"), (command, ended)
        assert digests(Path(LAKE, "warehouse")) == files
    assert digests(victim) == before
    assert not planted.exists()
    with pytest.raises(BlockingIOError):  # no connection waits
        server.accept()


@pytest.mark.parametrize(
    "folder",
    ["", "lakehouse/archives", "spot", "spot/klines/data", "spot/klines2", "other.db/klines"],
)
def test_the_folder_of_another_table_is_not_taken_for_a_tables_own(
    template: Path, folder: str
) -> None:
    def change(plain: dict[str, Any]) -> None:
        if plain["location"].endswith("/spot/klines"):
            plain["location"] = plain["location"].replace("spot/klines", folder)

    for command in COMMANDS:
        restore(template, change)
        files = kept()
        ended = run(*command)
        assert refused(ended, "instead of"), (command, ended)
        assert files.items() <= kept().items()


def test_properties_of_iceberg_and_its_engines_are_accepted(template: Path) -> None:
    harmless = {
        "owner": "me", "comment": "bars", "created-at": "2024-01-01T00:00:00Z",
        "write.parquet.compression-codec": "zstd", "write.format.default": "parquet",
        "commit.retry.num-retries": "2", "history.expire.max-snapshot-age-ms": "1",
        "read.split.target-size": "1", "gc.enabled": "true",
        "write.object-storage.enabled": "true", "write.metadata.previous-versions-max": "",
        "commit.manifest-merge.enabled": "FALSE", "commit.manifest.min-count-to-merge": "0",
        "write.metadata.metrics.default": "truncate(16)",
    }  # fmt: skip

    def change(plain: dict[str, Any]) -> None:
        plain["properties"].update(harmless)
        plain["properties"]["write.data.path"] = plain["location"] + "/data"

    for command in COMMANDS:
        restore(template, change)
        assert run(*command).code == 0, command


#: Values that pyiceberg cannot parse, of properties that are accepted.
IMPOSSIBLE = {
    "write.metadata.previous-versions-max": "x",
    "write.metadata.delete-after-commit.enabled": "maybe",
    "write.metadata.metrics.default": "bogus",
    "write.metadata.metrics.column.symbol": "truncate(0)",
    "write.object-storage.enabled": "2",
    "write.summary.partition-limit": "1.5",
    "commit.manifest.target-size-bytes": "-1",
    "commit.manifest.min-count-to-merge": "9" * 5000,
    "commit.retry.num-retries": "\u0663",
    "schema.name-mapping.default": "{",
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_an_impossible_value_is_told_with_its_table_and_a_remedy(template: Path, name: str) -> None:
    value = IMPOSSIBLE[name]

    def change(plain: dict[str, Any]) -> None:
        if plain["location"].endswith("/spot/klines"):
            plain["properties"][name] = value

    for command in COMMANDS[:2]:
        restore(template, change)
        files = kept()
        ended = run(*command)
        assert refused(ended, f"table `spot.klines`: its property `{name}` is `{value[:80]}"), ended
        assert "correct it with the program that set it" in ended.err
        assert files.items() <= kept().items()


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("metadata_location", None, "metadata location `None`"),
        ("metadata_location", b"file:///x", "metadata location `b'file:///x'`"),
        ("metadata_location", "", "metadata location ``"),
        ("metadata_location", "elsewhere", "metadata location `elsewhere`"),
        ("table_name", b"\xff", "has no name that is text"),
        ("table_namespace", "", "has no name that is text"),
    ],
)
def test_a_row_of_the_catalog_without_a_table_is_told_with_a_remedy(
    template: Path, column: str, value: object, said: str
) -> None:
    for command in COMMANDS:
        restore(template, lambda _plain: None)
        with contextlib.closing(sqlite3.connect(Path(LAKE, "catalog.db"))) as catalog, catalog:
            update = f"UPDATE iceberg_tables SET {column} = ? WHERE table_name = 'klines'"  # noqa: S608
            catalog.execute(update, (value,))
        files = kept()
        ended = run(*command)
        assert refused(ended, said), (command, ended)
        assert "the row of table `" in ended.err
        assert files.items() <= kept().items()


def test_no_property_of_a_table_reaches_its_file_access(template: Path) -> None:
    """Also if the check of the names had a hole."""
    restore(template, lambda _plain: None)
    lake = LakeCatalog(Path(LAKE))
    evil = {"py-io-impl": "planted_module.Files", LAKE_ROOT: "/", "s3.endpoint": "http://x"}
    files = lake.catalog._load_file_io(evil, "s3://bucket/warehouse/x")
    assert type(files) is LocalIO
    assert files.properties[LAKE_ROOT] == str(Path(LAKE).resolve())
    assert "s3.endpoint" not in files.properties
    table = lake.find("spot.klines")
    assert table is not None
    assert type(table.io) is LocalIO
    lake.close()
