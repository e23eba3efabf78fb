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

__all__ = ["run_dot_command", "run_shell"]

_HELP = """\
SQL ends with a semicolon. `.tables` names the tables, `.schema TABLE` its columns,
`.format table|vertical|csv|json` how rows are printed; `.quit`, `quit` or the end of input ends."""

_FORMS = frozenset({"table", "vertical", "csv", "json"})

_ENDS = frozenset({".quit", ".exit", "quit", "exit"})


def run_shell(session: QuerySession, lake: Lake) -> int:
    """Read statements until the end of input.

    An error, or Ctrl-C in a terminal, ends only its own statement.
    """
    with suppress(ImportError):
        import readline  # noqa: F401 - input() uses it by being imported

    interactive = sys.stdin.isatty()
    form, held = "auto", ""
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
        if not held and line.strip().rstrip(";").casefold() in _ENDS:
            return 0
        if not held and line.strip().startswith("."):
            word, _, rest = line.strip().partition(" ")
            form = _command(word, rest.strip(), lake, form)
            continue
        held = f"{held}\n{line}" if held else line
        if held.rstrip().endswith(";"):
            _answer(session, held, form)
            held = ""
    if held.strip():
        _answer(session, held, form)
    return 0


def run_dot_command(text: str, lake: Lake) -> int:
    """Run `.tables` or `.schema TABLE`; return the exit code.

    Raises:
        QueryError: It is another command, or there is no such table.
    """
    word, _, rest = text.partition(" ")
    if word == ".schema" and rest.strip():
        _print_schema(lake, rest.strip())
    elif text == ".tables":
        _command(word, "", lake, "table")
    else:
        reason = f"`{text}` is no command; there are .shell, .tables and .schema TABLE"
        raise QueryError("query", reason)
    return 0


def _line() -> str:
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")


def _command(word: str, rest: str, lake: Lake, form: str) -> str:
    if word == ".tables":
        click.echo("\n".join(_names(lake)))
    elif word == ".schema":
        try:
            _print_schema(lake, rest)
        except QueryError as error:
            click.echo(f"error: {error}", err=True)
    elif word == ".format" and rest in _FORMS:
        return rest
    else:
        click.echo(_HELP, err=True)
    return form


def _names(lake: Lake) -> list[str]:
    """What a query can name: the tables, and all rows of the table of archives."""
    from crypto_lakehouse.tables.ingest.provenance import ARCHIVES
    from crypto_lakehouse.tables.lake.sql import HISTORY

    return sorted([*lake.tables, *([HISTORY] if ARCHIVES in lake.tables else [])])


def _print_schema(lake: Lake, name: str) -> None:
    from crypto_lakehouse.cli.render import print_columns
    from crypto_lakehouse.tables.ingest.provenance import ARCHIVES
    from crypto_lakehouse.tables.lake.sql import HISTORY

    fields = lake.table(ARCHIVES if name == HISTORY else name).schema().fields
    print_columns([(each.name, str(each.field_type), each.doc or "") for each in fields], (32, 16))


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
