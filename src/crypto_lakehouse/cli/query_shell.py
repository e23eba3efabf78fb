"""`crypto-lakehouse query .shell`: an interactive session."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from crypto_lakehouse.core.errors import QueryError

if TYPE_CHECKING:
    from crypto_lakehouse.tables.lake.lake import Lake
    from crypto_lakehouse.tables.lake.sql import QuerySession

__all__ = ["run_shell"]

_HELP = """\
SQL ends with a semicolon. `.tables` names the tables, `.schema TABLE` its columns,
`.format table|csv|json` how rows are printed, `.quit` or the end of input ends."""


def run_shell(session: QuerySession, lake: Lake) -> int:
    """Read statements until the end of input.

    An error, or Ctrl-C in a terminal, ends only its own statement.
    """
    with suppress(ImportError):
        import readline  # noqa: F401 - input() uses it by being imported

    interactive = sys.stdin.isatty()
    form, held = "table", ""
    if interactive:
        click.echo(_HELP, err=True)
    while True:
        try:
            line = input("   ...> " if held else "lake> ") if interactive else _line()
        except EOFError:
            break
        except KeyboardInterrupt:
            if not interactive:
                raise
            click.echo("", err=True)
            held = ""
            continue
        if not held and line.strip().startswith("."):
            word, _, rest = line.strip().partition(" ")
            if word in {".quit", ".exit"}:
                return 0
            form = _command(word, rest.strip(), lake, form)
            continue
        held = f"{held}\n{line}" if held else line
        if held.rstrip().endswith(";"):
            _answer(session, held, form)
            held = ""
    if held.strip():
        _answer(session, held, form)
    return 0


def _line() -> str:
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")


def _command(word: str, rest: str, lake: Lake, form: str) -> str:
    if word == ".tables":
        click.echo("\n".join(lake.tables))
    elif word == ".schema":
        _print_schema(lake, rest)
    elif word == ".format" and rest in {"table", "csv", "json"}:
        return rest
    else:
        click.echo(_HELP, err=True)
    return form


def _print_schema(lake: Lake, name: str) -> None:
    try:
        fields = lake.table(name).schema().fields
    except QueryError as error:
        click.echo(f"error: {error}", err=True)
        return
    for field in fields:
        click.echo(f"{field.name:<32}{field.field_type!s:<16}{field.doc or ''}")


def _answer(session: QuerySession, sql: str, form: str) -> None:
    from crypto_lakehouse.cli.interruptible import run_interruptible
    from crypto_lakehouse.cli.query_output import write_rows

    def answer() -> None:
        write_rows(session.sql(sql.strip().rstrip(";")), form, None)

    try:
        run_interruptible(answer, session.interrupt)
    except QueryError as error:
        click.echo(f"error: {error}", err=True)
    except KeyboardInterrupt:
        if not sys.stdin.isatty():
            raise
        click.echo("interrupted", err=True)
