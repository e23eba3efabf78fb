"""Commands, options, targets and modules that a sentence or a message names are there."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator

import click
import pytest
from tests.documentation.collector import ROOT, commands, spans

COMMANDS = commands()

SPANS = spans()

#: Options of other programs, and of commands that are not this one's, by the span.
NOT_OURS = frozenset[str]()


def called(span: str) -> tuple[str, list[str]] | None:
    """The command that a span calls, and its words; None if it is not a call.

    A call begins with the program's name, or is a command with an option.
    """
    words = span.split()
    is_whole = words[0] == "crypto-lakehouse"
    words = words[is_whole:]
    name = ""
    while words and f"{name} {words[0]}".strip() in COMMANDS:
        name = f"{name} {words.pop(0)}".strip()
    has_option = bool(words) and words[0].startswith("-")
    return (name, words) if is_whole or (name and has_option) else None


def calls() -> Iterator[tuple[str, str, list[str]]]:
    for span in SPANS:
        if found := called(span):
            yield (span, *found)


def options_of(command: click.Command) -> set[str]:
    parameters = command.get_params(click.Context(command))
    names = {name for each in parameters for name in (*each.opts, *each.secondary_opts)}
    return {name for name in names if name.startswith("-")} | {"-h", "--help"}


def test_calls_are_found() -> None:
    assert len([*calls()]) > 30


@pytest.mark.parametrize(("span", "name", "words"), [*calls()], ids=[span for span, *_ in calls()])
def test_a_command_that_is_named_has_its_options(span: str, name: str, words: list[str]) -> None:
    command = COMMANDS[name]
    for word in words:
        if re.match(r"--?[a-z]", word):
            option = word.partition("=")[0].rstrip(",;")
            assert option in options_of(command), f"{SPANS[span]}: `{span}`"
    is_group = isinstance(command, click.Group) and not command.invoke_without_command
    if is_group and words and not words[0].startswith("-"):
        pytest.fail(f"{SPANS[span]}: `{span}`: there is no command `{words[0]}`")


TARGETS = sorted({span.split()[1] for span in SPANS if re.fullmatch(r"make [a-z-]+( .*)?", span)})

MODULES = sorted({span.split()[2] for span in SPANS if re.match(r"python -m [a-z_.]+", span)})


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_that_is_named_is_in_the_makefile(target: str) -> None:
    found = re.findall(r"^([\w -]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert target in " ".join(found).split()


@pytest.mark.parametrize("module", MODULES)
def test_a_module_that_is_named_is_there(module: str) -> None:
    assert importlib.util.find_spec(module) is not None
