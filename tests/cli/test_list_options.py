"""Options that take a list may be given again; their values accumulate in every command."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from tests.cli.conftest import Shell

from crypto_lakehouse.cli.list_option import ListOption
from crypto_lakehouse.cli.main import cli


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


@pytest.mark.parametrize(
    "option", [option for _, option in LISTS], ids=[f"{name} {each.name}" for name, each in LISTS]
)
def test_every_list_accumulates(option: click.Option) -> None:
    assert isinstance(option, ListOption), f"{option.opts} takes a list, and its last use wins"


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
