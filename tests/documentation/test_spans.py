"""Commands, options, targets and modules that a sentence or a message names are there."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from functools import cache

import click
from tests.documentation.collector import ROOT, commands, context_of, spans

COMMANDS = commands()

#: They are read by the first test that needs them: to collect them takes two seconds.
found_spans = cache(spans)


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
    for span in found_spans():
        if found := called(span):
            yield (span, *found)


def options_of(command: click.Command) -> set[str]:
    parameters = command.get_params(context_of(command))
    names = {name for each in parameters for name in (*each.opts, *each.secondary_opts)}
    return {name for name in names if name.startswith("-")} | {"-h", "--help"}


def faults() -> Iterator[str]:
    """What is named in a call and is not there."""
    for span, name, words in calls():
        command, place = COMMANDS[name], f"{found_spans()[span]}: `{span}`"
        for word in words:
            option = word.partition("=")[0].rstrip(",;")
            if re.match(r"--?[a-z]", word) and option not in options_of(command):
                yield f"{place}: there is no option `{option}`"
        is_group = isinstance(command, click.Group) and not command.invoke_without_command
        if is_group and words and not words[0].startswith("-"):
            yield f"{place}: there is no command `{words[0]}`"


def test_every_command_that_is_named_has_its_options() -> None:
    assert len([*calls()]) > 30
    assert [*faults()] == []


def test_every_target_that_is_named_is_in_the_makefile() -> None:
    found = re.findall(r"^([\w -]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = {span.split()[1] for span in found_spans() if re.fullmatch(r"make [a-z-]+( .*)?", span)}
    assert named - {*" ".join(found).split()} == set()


def test_every_module_that_is_named_is_there() -> None:
    for span in found_spans():
        if re.match(r"python -m [a-z_.]+", span):
            assert importlib.util.find_spec(span.split()[2]) is not None, span
