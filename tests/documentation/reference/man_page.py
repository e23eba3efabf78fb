"""The manual page, crypto-lakehouse(1), of all commands with their options."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click
from tests.documentation.collector import commands, context_of

from crypto_lakehouse.cli.main import cli

__all__ = ["man_page"]

#: It names no version and no date, so that it changes only with the commands.
_HEAD = r""".\" Written by `python -m tests.documentation.reference`.
.TH CRYPTO\-LAKEHOUSE 1 "" "crypto\-lakehouse" "User Commands"
.nh
.ad l
.SH NAME
crypto\-lakehouse \- collect the public Binance market\-data archive
.SH SYNOPSIS
.B crypto\-lakehouse
.I COMMAND
.RI [ OPTIONS ]
"""

_ENVIRONMENT = r""".SH ENVIRONMENT
.TP
.BI CRYPTO_LAKEHOUSE_ KEY
A key of the configuration, as an option of
.BR collect .
.TP
.BR HTTPS_PROXY ", " HTTP_PROXY ", " NO_PROXY
Proxies.
.TP
.B NO_COLOR
No colors on a terminal.
.TP
.B XDG_STATE_HOME
Below it are ledger and locks of outputs in object stores.
"""


def man_page() -> str:
    """Return the page as roff, for `man` and `groff -man`."""
    text = inspect.cleandoc(cli.help or "")
    parts = [_HEAD, ".SH DESCRIPTION\n", *_paragraphs(text), ".SH COMMANDS\n"]
    for name, command in commands().items():
        if name:
            parts += _command(name, command)
    parts += [".SH EXAMPLES AND EXIT CODES\n", *_paragraphs(inspect.cleandoc(cli.epilog or ""))]
    return "".join([*parts, _ENVIRONMENT])


def _command(name: str, command: click.Command) -> Iterator[str]:
    context = context_of(command, name)
    usage = " ".join(command.collect_usage_pieces(context))
    yield f".SS {_escaped(f'{name} {usage}')}\n"
    yield from _paragraphs(inspect.cleandoc(command.help or ""))
    for each in command.get_params(context):
        found = each.get_help_record(context)
        if found and each.name != "help":
            names, meaning = found
            yield f".TP\n.B {_escaped(names)}\n{_line(meaning)}"


def _paragraphs(text: str) -> Iterator[str]:
    r"""The paragraphs of a help text; one that begins with \b keeps its lines."""
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        if paragraph.startswith("\b"):
            lines = paragraph.removeprefix("\b").strip("\n").splitlines()
            yield ".PP\n.nf\n" + "".join(map(_line, lines)) + ".fi\n"
        else:
            yield f".PP\n{_line(' '.join(paragraph.split()))}"


def _line(text: str) -> str:
    """A line of text, which is no request of roff's."""
    escaped = _escaped(text)
    return rf"\&{escaped}" + "\n" if escaped[:1] in {".", "'"} else f"{escaped}\n"


def _escaped(text: str) -> str:
    """What roff would read as markup, as it is typed."""
    return text.replace("\\", r"\e").replace("-", r"\-").replace("`", r"\(ga")
