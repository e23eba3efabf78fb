"""Whatever was typed, written or imported with version 0.1.0 still is what it was."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

import click
import pytest
from tests.compatibility.conftest import DATA
from tests.documentation.collector import commands

from crypto_lakehouse.__main__ import main

SURFACE: dict[str, Any] = json.loads((DATA / "surface.json").read_text(encoding="utf-8"))

#: Public names that are gone, and what took their place.
GONE = {"crypto_lakehouse.testing.Gate": "gates of faults are `faults.Latch`"}


def words_of(command: click.Command) -> set[str]:
    """Options of a command, and its arguments."""
    words = set()
    for each in command.params:
        is_argument = isinstance(each, click.Argument)
        words |= {f"<{each.name}>"} if is_argument else {*each.opts, *each.secondary_opts}
    return words


def test_every_command_has_the_options_that_it_had() -> None:
    now = commands()
    gone = {name: {*words} - words_of(now[name]) for name, words in SURFACE["commands"].items()}
    assert {name: words for name, words in gone.items() if words} == {}


def test_every_public_name_is_there() -> None:
    names = [f"{face}.{name}" for face, found in SURFACE["names"].items() for name in found]
    lost = [
        each
        for each in names
        if not hasattr(import_module(each.rpartition(".")[0]), each.rpartition(".")[2])
    ]
    assert lost == [*GONE]


def test_a_configuration_means_what_it_meant(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main_with("config", "show", "--config", str(DATA / "config.yaml"), "--json")
    said = capsys.readouterr()
    found = {key: each["value"] for key, each in json.loads(said.out).items()}
    assert {key: found[key] for key in SURFACE["config"]} == SURFACE["config"]
    assert "`batch_size` is a key of the older workflow and is ignored" in said.err


def main_with(*words: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["crypto-lakehouse", *words])
        patch.chdir(DATA)
        main()
