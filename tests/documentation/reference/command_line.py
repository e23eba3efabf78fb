"""The page of all commands with their options."""

from __future__ import annotations

import inspect
import re

import click
from tests.documentation.collector import commands, context_of

__all__ = ["command_line_page"]

_HEAD = """# Command line

Every command with its arguments and options, as `--help` prints them.

Each key of the [configuration](../configuration.md) is an option of `collect`, a key of a file
(`--config`) and a variable `CRYPTO_LAKEHOUSE_<KEY>`; options override variables, and variables
override files. [Exit codes](exit-codes.md) says how commands end.
"""


def command_line_page() -> str:
    """Return the page."""
    sections = [_section(name, command) for name, command in commands().items() if name]
    return "\n".join([_HEAD, *sections])


def _section(name: str, command: click.Command) -> str:
    context = context_of(command, name)
    usage = " ".join(command.collect_usage_pieces(context))
    text = inspect.cleandoc(command.help or "").partition("\n\b")[0].partition("\x08")[0].strip()
    lines = [f"## `{name}`", "", f"Usage: `{name} {usage}`", "", _escaped(text), ""]
    records = [
        found for each in command.get_params(context) if (found := each.get_help_record(context))
    ]
    if records:
        lines += ["| option | meaning |", "|---|---|"]
        lines += [
            f"| `{_cell(names)}` | {_escaped(_cell(meaning))} |" for names, meaning in records
        ]
        lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def _escaped(text: str) -> str:
    """What Markdown would read as markup outside code, as it is typed."""
    marked = r"(?P<code>`[^`]*`)|(?P<mark>[*_\[\]<])"
    return re.sub(marked, lambda found: found["code"] or "\\" + found["mark"], text)
