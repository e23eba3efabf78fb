"""`--storage` is JSON for every command that has it, and is used as CRYPTO_LAKEHOUSE_STORAGE is."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click
import pytest
from tests.cli.conftest import SELECTION, Shell
from tests.services.bucket import Bucket

from crypto_lakehouse.cli.main import cli
from crypto_lakehouse.testing import ArchiveServer

URL = "s3://bucket/prefix"

#: What else each command must be given.
NEEDS = {
    ("draw", "candles"): ["--symbol", "BTCUSDT", "--to", "candles.svg"],
    ("draw", "coverage"): ["--to", "coverage.svg"],
    ("export",): ["--for", "csv", "--to", "files"],
    ("history",): ["--since", "2025-07-01"],
    ("lake", "expire"): ["--older-than", "1d"],
    ("lake", "snapshots"): ["spot.klines"],
    ("query",): ["SELECT 1"],
    ("report",): ["--html", "page.html"],
}


def commands(group: click.Group, *above: str) -> Iterator[tuple[str, ...]]:
    """Yield the names of the commands that have the option."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, *above, name)
        elif command and any("--storage" in param.opts for param in command.params):
            yield *above, name


ALL = list(commands(cli))


def test_the_commands_of_tables_have_it() -> None:
    assert {("query",), ("ingest",), ("collect",), ("lake", "tables"), ("lake", "sweep")} < {*ALL}


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_it_is_read_by_every_command(command: tuple[str, ...], shell: Shell) -> None:
    given = [*command, "-o", URL, *NEEDS.get(command, [])]
    code, _, err = shell(*given, "--storage", '{"regoin": "eu-central-1"}')
    assert (code, "--storage" in err, "regoin" in err) == (2, True, True), err
    assert "must be a mapping" not in err
    code, _, err = shell(*given, "--storage", '{"region": ')
    assert (code, "--storage: not valid JSON" in err) == (2, True), err


def test_it_opens_the_store_of_a_lake(
    ministack_bucket: Bucket,
    archive_server: ArchiveServer,
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ministack_bucket.give_credentials(monkeypatch)
    monkeypatch.delenv("CRYPTO_LAKEHOUSE_STORAGE", raising=False)
    url = ministack_bucket.fresh_prefix()
    option = ["--storage", json.dumps(dict(ministack_bucket.storage)), "--state-directory", "state"]
    code, _, err = shell(
        "collect", "-o", url, "--source-url", archive_server.url, "--partitions", "daily",
        *SELECTION, "-i", "1h", "--ingest", *option,
    )  # fmt: skip
    assert code == 0, err
    count = ["-f", "csv", "SELECT count(*) FROM spot.klines"]
    code, out, err = shell("query", "-o", url, *option, *count)
    assert (code, out.splitlines()[1:]) == (0, ["24"]), err
    code, out, err = shell("lake", "tables", "-o", url, *option)
    assert (code, "spot.klines: " in out) == (0, True), err
    place = ["-o", "out", "--lake", f"{url}/.lakehouse/lake"]
    code, _, err = shell("lake", "sweep", *place, *option)
    assert code == 0, err
    code, _, err = shell("lake", "relocate", "-o", "here", "--lake", "here", "--from", url, *option)
    assert code == 0, err
