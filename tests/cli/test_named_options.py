"""A bad value is named by the option that gave it, or that can give it, in every command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from tests.cli.conftest import SELECTION, Shell

from crypto_lakehouse.cli.main import cli
from crypto_lakehouse.core.config.workflow_config import config_keys
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.workflows.lake_config import lake_keys

ABSENT = ("-s", "BTCUST")

DAY = ("--markets", "spot", "-t", "klines", "-i", "1h", "--date", "2025-07-15")

KEY = "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-07-15.zip"

#: Commands with a fault, by their options, and the option that the message must name.
FAULTS = {
    "plan, absent symbol": (["plan", "-o", "out", *DAY, *ABSENT], "--symbols"),
    "collect, absent symbol": (["collect", "-o", "out", *DAY, *ABSENT], "--symbols"),
    "dry run, absent symbol": (["collect", "-o", "out", *DAY, *ABSENT, "--dry-run"], "--symbols"),
    "bench, absent symbol": (["bench", *DAY, *ABSENT], "--symbols"),
    "plan, no symbols": (["plan"], "--symbols"),
    "plan, no days": (["plan", "-s", "BTCUSDT"], "--start or --date"),
    "collect, no symbols": (["collect", "-o", "out"], "--symbols"),
    "collect, no output": (["collect", *SELECTION], "--output"),
    "dry run, no symbols": (["collect", "-o", "out", "--dry-run"], "--symbols"),
    "bench, no days": (
        ["bench", "--discovery", "calendar", "-s", "BTCUSDT"], "--start or --date"
    ),
    "config show": (["config", "show", "--max-retries", "99"], "--max-retries"),
    "plan, a file": (["plan", "-o", "file", *SELECTION], "--output"),
    "collect, a file": (["collect", "-o", "file", *SELECTION], "--output"),
    "collect, retry": (["collect", "-o", "none", "--retry-failed"], "--output"),
    "plan, retry": (["plan", "-o", "none", "--only", "failed"], "--output"),
    "status, no directory": (["status", "-o", "none"], "--output"),
    "status, no ledger": (["status", "-o", "empty"], "--output"),
    "status, a day": (["status", "-o", "out", "--start", "never"], "--start"),
    "verify, no directory": (["verify", "-o", "none"], "--output"),
    "history, no ledger": (["history", "-o", "empty", KEY], "--output"),
    "history, no ledger since": (["history", "-o", "empty", "--since", "2025"], "--output"),
    "history, no ledger then": (["history", "-o", "empty", KEY, "--as-of", "2025-01-01"],
                                "--output"),
    "record, no symbols": (["record", "-o", "out"], "--symbols"),
    "prune, no ledger": (["history", "-o", "empty", "--prune", "1"], "--output"),
    "prune, a lock that cannot be": (["history", "-o", "locked", "--prune", "1"], "--output"),
    "ingest, no directory": (["ingest", "-o", "none"], "--output"),
    "ingest, no output": (["ingest"], "--output"),
    "ingest, workers": (["ingest", "-o", "empty", "--workers", "0"], "--workers"),
    "ingest, a check": (["ingest", "-o", "empty", "--policy", "no=drop"], "--policy.no"),
    "ingest, a lake that cannot be": (["ingest", "-o", "empty", "--lake", "file"], "--lake"),
    "validate, no directory": (["validate", "-o", "none"], "--output"),
    "query, no lake": (["query", "-o", "empty", "SELECT 1"], "--output"),
    "lake tables, no lake": (["lake", "tables", "-o", "empty"], "--output"),
    "lake compact, no lake": (["lake", "compact", "-o", "out", "--lake", "empty"], "--lake"),
    "matrix refresh, hosts": (["matrix", "refresh", "--proxy", "ftp://x"], "--proxy"),
}  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[ArchiveServer]:
    """A source with a listing."""
    with ArchiveServer() as source:
        yield source


@pytest.mark.parametrize("name", FAULTS)
def test_the_option_is_named(
    shell: Shell, server: ArchiveServer, name: str, tmp_path: Path
) -> None:
    command, option = FAULTS[name]
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "locked" / ".lakehouse" / "lock").mkdir(parents=True)
    source = ("--source-url", server.url, "--listing-url", server.url, "--discovery", "listing")
    code, _, err = shell(*command, *(source if "BTCUST" in command else ()))
    assert code == 2
    assert f"{option}: " in err
    assert "$." not in err


def test_a_value_that_may_be_in_a_file_keeps_the_path_of_its_key(
    shell: Shell, tmp_path: Path
) -> None:
    (tmp_path / "c.toml").write_text('markets = ["spot"]\n')
    code, _, err = shell("plan", "--config", "c.toml", "-o", "out", "-s", "BTCUSDT")
    assert (code, "$.date_range: one of" in err) == (2, True)
    (tmp_path / "c.toml").write_text('[environments.production]\nmarkets = ["spot"]\n')
    code, _, err = shell("plan", "--config", "c.toml", "--environment", "production")
    assert (code, "$.symbols: required" in err) == (2, True)


def leaves(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command, with the words that name it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, *path, name)
        else:
            yield (*path, name), command


COMMANDS = dict(leaves(cli))

#: Options that a command must have; others are given a directory.
REQUIRED = {"--to": "picture.svg"}


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_option_of_a_key_is_named_once(
    shell: Shell, path: tuple[str, ...], tmp_path: Path
) -> None:
    """A value that no key takes, given by each option of a key, in each command."""
    (tmp_path / "out").mkdir()
    # What a catalog is named is pyiceberg's. A lake in a directory has no store.
    is_of_lake = path[0] in {"query", "lake", "export"} or path == ("draw", "candles")
    unused = {"storage", "state_directory"} if is_of_lake else set()
    unused |= {"tenant"} if path[0] in {"run", "daemon"} else set()  # of a file
    keys = (config_keys().keys() | lake_keys().keys() | {"output"}) - {"catalog"} - unused
    params = COMMANDS[path].params
    options = [each for each in params if isinstance(each, click.Option)]
    arguments = [KEY for each in params if isinstance(each, click.Argument)]
    for option in options:
        if option.name not in keys or option.is_flag:
            continue
        others = [part for each in options if each.required and each is not option
                  for part in (each.opts[0], REQUIRED.get(each.opts[0], "out"))]  # fmt: skip
        code, _, err = shell(*path, *arguments, *others, option.opts[0], "a\x1bb")
        assert "----" not in err
        assert "$." not in err
        is_named = any(re.search(rf"(?<![\w-]){name}\b", err) for name in option.opts)
        assert (code, is_named) == (2, True), (option.opts, err)
