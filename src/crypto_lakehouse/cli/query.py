"""`crypto-lakehouse query`."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from crypto_lakehouse.cli.file_names import file_only
from crypto_lakehouse.cli.lake_options import open_lake, place_options, recorded_output
from crypto_lakehouse.cli.unused_options import refuse_beside
from crypto_lakehouse.core.errors import QueryError
from crypto_lakehouse.core.input_files import LARGEST_INPUT

if TYPE_CHECKING:
    from crypto_lakehouse.tables.lake.sql import QuerySession

__all__ = ["command"]

#: How many files a query may have open if the system allows it; more than it ever needs.
_OPEN_FILES = 4096


@click.command("query", short_help="Query the tables in SQL.")
@place_options
@click.argument("sql")
@click.option("--format", "-f", "form",
              type=click.Choice(["table", "vertical", "csv", "json", "parquet"]),
              help="Format of the rows; vertical is one value a line. [default: by the name of "
              "--to, else table, or vertical if the terminal is too narrow for it]")  # fmt: skip
@click.option(
    "--to",
    metavar="FILE",
    callback=file_only,
    help="Write the rows to a file instead, as rows.parquet.",
)
@click.option(
    "--as-of", metavar="TIME", help="The tables as they were at that time: a day or a time."
)
@click.option(
    "--csv-formulas",
    type=click.Choice(["keep", "escape"]),
    default="keep",
    show_default=True,
    help="escape: an apostrophe before texts that a spreadsheet takes for formulas.",
)
@click.option(
    "--live",
    is_flag=True,
    help="Add the rows of recordings that are not ingested yet, up to the last second.",
)
@click.option("--explain", is_flag=True, help="Print to standard error what is read.")
@click.option("--quiet", "-q", is_flag=True, help="Do not say that a file was written.")
def command(**given: Any) -> int:
    """Query the tables in SQL (DuckDB's); `-` reads it from standard input.

    `.shell` opens an interactive session; `.tables` and `.schema TABLE` work without it.

    Tables are named after market and type, as spot.klines and futures_um.funding_rate;
    lakehouse.archives lists the archives that the rows come from. A query reads only the tables.

    \b
    Examples:
      crypto-lakehouse query -o data "SHOW TABLES"
      crypto-lakehouse query -o data "SELECT symbol, count(*) FROM spot.klines GROUP BY 1"
      crypto-lakehouse query -o data -f csv "FROM spot.klines WHERE symbol = 'BTCUSDT'" > b.csv
      crypto-lakehouse query -o data --live "SELECT max(transact_time) FROM spot.agg_trades"
      crypto-lakehouse query -o data --to bars.parquet - < bars.sql
      crypto-lakehouse query -o data .shell
    """  # noqa: D301 - click reads \b
    from crypto_lakehouse.cli.interruptible import run_interruptible
    from crypto_lakehouse.cli.query_output import form_of
    from crypto_lakehouse.stores.open_files import raise_open_files_limit

    raise_open_files_limit(_OPEN_FILES)
    form = form_of(given["form"], given["to"])
    if given["csv_formulas"] == "escape" and form != "csv":
        written = "table" if form == "auto" else form
        reason = f"--csv-formulas is for CSV, and the rows are written as {written}"
        raise QueryError("query", reason)
    shell = given["sql"].strip() == ".shell"
    if shell:
        refuse_beside(".shell", "to", "form", "explain", "csv_formulas")
    if given["sql"] == "-":
        given["sql"] = _from_stdin()
    output = recorded_output(given) if given["live"] else None
    with open_lake(given, output) as lake:
        from crypto_lakehouse.cli.query_shell import run_dot_command, run_shell
        from crypto_lakehouse.tables.lake.sql import QuerySession

        if given["sql"].lstrip().startswith(".") and not shell:
            return run_dot_command(given["sql"].strip(), lake)
        live, tables = given["live"], None
        if shell:
            tables = lake.queried_tables(live=live)
        session = QuerySession(lake, as_of=given["as_of"], tables=tables, live=live)
        try:
            if shell:
                return run_shell(session, lake)
            run_interruptible(partial(_answer, session, given, form), session.interrupt)
        finally:
            session.close()
    sys.stdout.flush()
    return 0


def _from_stdin() -> str:
    try:
        text = sys.stdin.buffer.read(LARGEST_INPUT + 1)
        if len(text) > LARGEST_INPUT:
            raise QueryError("query", f"standard input has more than {LARGEST_INPUT:,} bytes")
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        reason = f"standard input is not in UTF-8: byte {error.start + 1} is wrong"
        raise QueryError("query", reason) from error


def _answer(session: QuerySession, given: dict[str, Any], form: str) -> None:
    from crypto_lakehouse.cli.query_output import write_rows

    if given["explain"]:
        click.echo(_explained(session, given["sql"]), err=True)
    escapes = given["csv_formulas"] == "escape"
    write_rows(session.sql(given["sql"]), form, given["to"], escape_formulas=escapes)
    if given["to"] is not None and not given["quiet"]:
        click.echo(f"written: {given['to']}", err=True)


def _explained(session: QuerySession, sql: str) -> str:
    rows = session.sql(f"EXPLAIN ANALYZE {sql}").fetchall()
    return "\n".join(str(row[-1]) for row in rows)
