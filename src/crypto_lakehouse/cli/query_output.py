"""Rows of a query, as text for people and in formats for programs."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from crypto_lakehouse.cli.terminal import shown_in, stdout_bytes, stdout_encoding
from crypto_lakehouse.core.errors import QueryError
from crypto_lakehouse.core.visible import json_text
from crypto_lakehouse.stores.whole_file import whole_file
from crypto_lakehouse.tables.lake.json_rows import LARGE_INTEGERS, json_rows, unique_names
from crypto_lakehouse.tables.lake.result_columns import as_form, starts_formula, without_formulas

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["FORMS", "form_of", "write_rows"]

#: How many rows of a table are shown; the rest are counted.
_SHOWN = 100

_BATCH = 1 << 16

_TABLE = "table"

#: Forms for people, which have the first rows only.
_LAYOUTS = frozenset({"auto", _TABLE, "vertical"})

#: The width of a table that is not written to a terminal: that of its longest line.
_ANY_WIDTH = 10_000

#: Types of numbers, which are aligned at their right ends; DECIMAL(..) is one, too.
_NUMBERS = LARGE_INTEGERS | {
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
    "FLOAT", "DOUBLE", "BIGNUM",
}  # fmt: skip

#: What the names of files end with, by form.
FORMS = {
    "table": (".txt",),
    "csv": (".csv",),
    "json": (".json", ".jsonl", ".ndjson"),
    "parquet": (".parquet",),
}


def form_of(form: str | None, to: str | None) -> str:
    """Return the form of a result: the given one, or that of the file's name.

    Otherwise it is `auto`: a table, or `vertical` on a terminal that is too narrow for the table.

    Raises:
        QueryError: The name is that of another form, or says of none.
    """
    suffix = Path(to).suffix.lower() if to is not None else ""
    named = next((each for each, suffixes in FORMS.items() if suffix in suffixes), None)
    if form is not None and named not in {None, "table" if form == "vertical" else form}:
        reason = f"`{to}` is the name of a {named} file, and --format is {form}; change either"
        raise QueryError("query", reason)
    if form is None and named is None and suffix:
        known = ", ".join(each for suffixes in FORMS.values() for each in suffixes)
        reason = f"`{to}` ends with none of {known}; choose the format with --format"
        raise QueryError("query", reason)
    return form or named or ("table" if to is not None else "auto")


def write_rows(relation: Any, form: str, to: str | None, *, escape_formulas: bool = False) -> None:
    """Write a result as `table`, `vertical`, `csv`, `json` (an object a line) or `parquet`.

    Args:
        relation: A DuckDB relation.
        form: One of these, or `auto`, as `form_of` returns it.
        to: The path of a file; None for standard output.
        escape_formulas: Whether texts that begin like a formula get an apostrophe first.

    Raises:
        QueryError: The query fails while it runs, or the file cannot be written.
    """
    import duckdb
    import pyarrow as pa

    from crypto_lakehouse.tables.lake.connection import explained

    named = _TABLE if form == "auto" else form
    kinds = [str(kind) for kind in relation.types]
    names = relation.columns
    if escape_formulas:
        relation = without_formulas(relation)
        names = [f"'{name}" if starts_formula(name) else name for name in names]
    try:
        with _opened(to) as file:
            encoding = "utf-8" if to is not None else stdout_encoding()
            is_text = form in _LAYOUTS
            writer = partial(_people, form, encoding) if is_text else _WRITERS[form]
            writer(as_form(relation, named), names, kinds, file)
    except duckdb.Error as error:
        raise QueryError("query", explained(error)) from error
    except (pa.ArrowException, ValueError, OverflowError) as error:
        reason = f"a value cannot be written as {named}: {error}; cast its column to VARCHAR"
        raise QueryError("query", reason) from error


@contextmanager
def _opened(to: str | None) -> Iterator[IO[bytes]]:
    if to is None:
        yield stdout_bytes()
        sys.stdout.flush()
        return
    try:
        with whole_file(Path(to)) as file:
            yield file
    except OSError as error:
        raise QueryError("query", f"`{to}` cannot be written: {error.strerror}") from error


def _people(
    layout: str,
    encoding: str,
    relation: Any,
    names: list[str],
    kinds: list[str],
    file: IO[bytes],
) -> None:
    """Write the first rows as text: `table`, `vertical`, or `auto`, whichever the terminal fits."""
    from rich.console import Console

    # Through Arrow: DuckDB's own conversion to datetimes needs a package that is not a dependency.
    found = relation.limit(_SHOWN + 1).to_arrow_table()
    rows = list(zip(*(column.to_pylist() for column in found.columns), strict=True))
    shown = [[shown_in(encoding, _cell(value)) for value in row] for row in rows[:_SHOWN]]
    titles = [shown_in(encoding, _cell(name)) for name in names]
    with _text(file, encoding) as out:
        console = Console(file=out, width=None if sys.stdout.isatty() else _ANY_WIDTH)
        table = _table(titles, kinds, shown)
        options = console.options.update(max_width=_ANY_WIDTH)
        is_wide = table.__rich_measure__(console, options).maximum > console.width
        if layout == "vertical" or (layout == "auto" and is_wide):
            _print_vertical(console, titles, shown)
        else:
            console.print(table)
    if len(rows) > _SHOWN:
        click.echo(f"the first {_SHOWN} rows are shown; --format csv has all", err=True)


def _table(titles: list[str], kinds: list[str], rows: list[list[str]]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title, kind in zip(titles, kinds, strict=True):
        # On a narrow terminal a value goes on in the next line; none of it is left out.
        table.add_column(title, justify="right" if _is_number(kind) else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _print_vertical(console: Console, titles: list[str], rows: list[list[str]]) -> None:
    """Print one value a line, below the number of its row; the terminal itself folds long ones."""
    from rich.text import Text

    widths = [Text.from_markup(title).cell_len for title in titles]
    for number, row in enumerate(rows, 1):
        console.print(f"-- row {number}", highlight=False)
        for title, width, value in zip(titles, widths, row, strict=True):
            space = " " * (max(widths) - width + 2)
            console.print(f"[bold]{title}[/]{space}{value}", highlight=False, soft_wrap=True)


@contextmanager
def _text(file: IO[bytes], encoding: str) -> Iterator[IO[str]]:
    text = io.StringIO()
    yield text
    lines = (line.rstrip() for line in text.getvalue().splitlines())
    # On a terminal the bytes are decoded again, as UTF-8.
    file.write(
        "".join(f"{line}\n" for line in lines).encode("utf-8" if file.isatty() else encoding)
    )


def _is_number(kind: str) -> bool:
    return kind in _NUMBERS or (kind.startswith("DECIMAL") and not kind.endswith("]"))


def _cell(value: object) -> str:
    from datetime import datetime
    from decimal import Decimal

    from rich.markup import escape

    from crypto_lakehouse.core.visible import visible

    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ").removesuffix("+00:00")
    return escape(visible(str(value)))


def _csv(relation: Any, names: list[str], _kinds: list[str], file: IO[bytes]) -> None:
    from pyarrow import csv

    reader = relation.to_arrow_reader(_BATCH)
    with csv.CSVWriter(file, _renamed(reader.schema, names)) as writer:
        for batch in reader:
            writer.write_batch(batch.rename_columns(names))


def _renamed(schema: Any, names: list[str]) -> Any:
    return schema.empty_table().rename_columns(names).schema


def _json(relation: Any, names: list[str], kinds: list[str], file: IO[bytes]) -> None:
    for batch in relation.to_arrow_reader(_BATCH):
        for row in json_rows(batch, names, kinds):
            file.write(f"{json_text(row)}\n".encode())


def _parquet(relation: Any, names: list[str], _kinds: list[str], file: IO[bytes]) -> None:
    import pyarrow.parquet as pq

    if file.isatty():
        raise QueryError("query", "Parquet cannot be written to a terminal; use --to FILE")
    reader, unique = relation.to_arrow_reader(_BATCH), unique_names(names)
    with pq.ParquetWriter(file, _renamed(reader.schema, unique)) as writer:
        for batch in reader:
            writer.write_batch(batch.rename_columns(unique))


_WRITERS: dict[str, Callable[[Any, list[str], list[str], IO[bytes]], None]] = {
    "csv": _csv,
    "json": _json,
    "parquet": _parquet,
}
