"""Options that take a list may be given again; their values accumulate in every command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from tests.cli.conftest import Shell

from crypto_lakehouse.cli.list_option import ListOption
from crypto_lakehouse.cli.main import cli
from crypto_lakehouse.core.config.workflow_config import config_keys


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command below a group, by its words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        yield " ".join((*path, name)), command


LISTS = [
    (name, option)
    for name, command in commands(cli)
    for option in command.params
    if isinstance(option, click.Option) and (option.metavar or "").startswith("LIST")
]


def test_there_are_lists_in_many_commands() -> None:
    assert {"collect", "plan", "status", "ingest", "validate"} <= {name for name, _ in LISTS}


def test_every_list_accumulates() -> None:
    for name, option in LISTS:
        assert isinstance(option, ListOption), f"{name}: the last use of {option.opts} wins"


def value_of(*given: str) -> str | None:
    """What an option with these values gives its command."""
    seen: list[str | None] = []

    @click.command()
    @click.option("-s", "symbols", cls=ListOption)
    def command(symbols: str | None) -> None:
        seen.append(symbols)

    arguments = [text for value in given for text in ("-s", value)]
    command.main(arguments, standalone_mode=False)
    return seen[0]


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ((), None),
        (("A",), "A"),
        (("A,B",), "A,B"),
        (("A", "B"), "A,B"),
        (("A,B", "C", "D"), "A,B,C,D"),
        (('["A", "B"]', "C"), "A,B,C"),
        (('{"spot": ["A"]}',), '{"spot": ["A"]}'),
        (("",), ""),
    ],
)
def test_values_are_joined_in_their_order(given: tuple[str, ...], value: str | None) -> None:
    assert value_of(*given) == value


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ('{"spot": ["A"]}', "can be given only once"),
        ('["A"', "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ("[null]", "must contain texts"),
        ("", "`` is one of several lists and must not be empty"),
        (" , ", "`,` is one of several lists and must not be empty"),
        ("[]", "must not be empty"),
        ('["A,B"]', "must contain texts without commas"),
    ],
)
def test_what_cannot_be_joined_is_refused(wrong: str, reason: str) -> None:
    with pytest.raises(click.BadParameter, match=reason):
        value_of("B", wrong)


def test_two_symbols_and_two_types_are_planned(shell: Shell) -> None:
    code, out, _ = shell(
        "plan", "-o", "out", "-s", "BTCUSDT", "-s", "ETHUSDT", "-t", "klines", "-t", "trades",
        "-i", "1h", "--markets", "spot", "--date", "2025-07-15", "--discovery", "calendar",
        "--format", "keys",
    )  # fmt: skip
    assert code == 0
    assert len(out.splitlines()) == 4
    assert {line.split("/")[4] for line in out.splitlines()} == {"BTCUSDT", "ETHUSDT"}


#: What a command needs besides its lists; none of them begins to work.
PLACES = {"collect": ["-o", "out"], "plan": ["-o", "out"], "config show": ["-o", "out"],
          "bench": [], "status": ["-o", "out"], "ingest": ["-o", "out"], "fill": ["-o", "out"],
          "record": ["-o", "out"], "report": ["-o", "out", "--html", "page.html"],
          "draw coverage": ["-o", "out", "--to", "coverage.svg"],
          "export": ["-o", "out", "--for", "csv", "--to", "files"],
          "validate": ["-o", "out"], "lake verify": ["-o", "out"]}  # fmt: skip


def may_be_empty(key: str | None) -> bool:
    """Whether an empty list has a meaning of its own, as no further host."""
    attribute = config_keys().get(key or "")
    return attribute is not None and attribute.metadata.get("may_be_empty", False)


SELECTING = [(name, option) for name, option in LISTS if not may_be_empty(option.name)]


@pytest.mark.parametrize(
    ("name", "option"), SELECTING, ids=[f"{name} {each.name}" for name, each in SELECTING]
)
def test_an_empty_list_is_refused_by_every_command(
    shell: Shell, name: str, option: click.Option, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (long,) = [each for each in option.opts if each.startswith("--")]
    for text in ("", " , ", "[]"):
        code, out, err = shell(*name.split(), *PLACES[name], long, text)
        assert code == 2, text
        assert long.removeprefix("--").replace("-", "_") in (out + err).replace("-", "_")
    assert [*(tmp_path / "out").iterdir()] == []
