"""Rows of a query, as text for people and in formats for programs."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click

from crypto_lakehouse.cli.query_columns import as_form, starts_formula, without_formulas
from crypto_lakehouse.cli.terminal import stdout_bytes
from crypto_lakehouse.core.errors import QueryError
from crypto_lakehouse.core.visible import json_text
from crypto_lakehouse.stores.whole_file import whole_file

__all__ = ["FORMS", "form_of", "write_rows"]

#: How many rows of a table are shown; the rest are counted.
_SHOWN = 100

_BATCH = 1 << 16

_LARGE_INTEGERS = frozenset({"HUGEINT", "UHUGEINT"})

#: Types of numbers, which are aligned at their right ends; DECIMAL(..) is one, too.
_NUMBERS = _LARGE_INTEGERS | {
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
    """Return the form of a result: the given one, or that of the file's name; else a table.

    Raises:
        QueryError: The name is that of another form, or says of none.
    """
    suffix = Path(to).suffix.lower() if to is not None else ""
    named = next((each for each, suffixes in FORMS.items() if suffix in suffixes), None)
    if form is not None and named not in {None, form}:
        reason = f"`{to}` is the name of a {named} file, and --format is {form}; change either"
        raise QueryError("query", reason)
    if form is None and named is None and suffix:
        known = ", ".join(each for suffixes in FORMS.values() for each in suffixes)
        reason = f"`{to}` ends with none of {known}; choose the format with --format"
        raise QueryError("query", reason)
    return form or named or "table"


def write_rows(relation: Any, form: str, to: str | None, *, escape_formulas: bool = False) -> None:
    """Write a result as `table`, `csv`, `json` (an object a line) or `parquet`.

    Args:
        relation: A DuckDB relation.
        form: One of `FORMS`.
        to: The path of a file; None for standard output.
        escape_formulas: Whether texts that begin like a formula get an apostrophe first.

    Raises:
        QueryError: The query fails while it runs, or the file cannot be written.
    """
    import duckdb
    import pyarrow as pa

    from crypto_lakehouse.tables.lake.connection import explained

    kinds = [str(kind) for kind in relation.types]
    names = relation.columns
    if escape_formulas:
        relation = without_formulas(relation)
        names = [f"'{name}" if starts_formula(name) else name for name in names]
    try:
        with _opened(to) as file:
            _WRITERS[form](as_form(relation, form), names, kinds, file)
    except duckdb.Error as error:
        raise QueryError("query", explained(error)) from error
    except (pa.ArrowException, ValueError, OverflowError) as error:
        reason = f"a value cannot be written as {form}: {error}; cast its column to VARCHAR"
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


def _table(relation: Any, names: list[str], kinds: list[str], file: IO[bytes]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from crypto_lakehouse.core.visible import visible

    # Through Arrow: DuckDB's own conversion to datetimes needs a package that is not a dependency.
    found = relation.limit(_SHOWN + 1).to_arrow_table()
    rows = list(zip(*(column.to_pylist() for column in found.columns), strict=True))
    text = Table(box=None, pad_edge=False, header_style="bold")
    for name, kind in zip(names, kinds, strict=True):
        # On a narrow terminal a value goes on in the next line; none of it is left out.
        text.add_column(
            escape(visible(name)), justify="right" if _is_number(kind) else "left", overflow="fold"
        )
    for row in rows[:_SHOWN]:
        text.add_row(*(_cell(value) for value in row))
    with _text(file) as out:
        console = Console(file=out, width=None if sys.stdout.isatty() else 10_000)
        console.print(text)
    if len(rows) > _SHOWN:
        click.echo(f"the first {_SHOWN} rows are shown; --format csv has all", err=True)


@contextmanager
def _text(file: IO[bytes]) -> Iterator[IO[str]]:
    text = io.StringIO()
    yield text
    lines = (line.rstrip() for line in text.getvalue().splitlines())
    file.write("".join(f"{line}\n" for line in lines).encode())


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
    unique = _unique(names)
    whole = [name for name, kind in zip(unique, kinds, strict=True) if kind in _LARGE_INTEGERS]
    for batch in relation.to_arrow_reader(_BATCH):
        rows = batch.rename_columns(unique).to_pylist(maps_as_pydicts="strict")
        for row in rows:
            numbers = {name: int(row[name]) for name in whole if row[name] is not None}
            line = json_text(_plain(row) | numbers)
            file.write(f"{line}\n".encode())


def _unique(names: list[str]) -> list[str]:
    """Number what has the name of an earlier column, which would take its place."""
    unique: list[str] = []
    for name in names:
        number, free = 1, name
        while free in unique or (number > 1 and free in names):
            number += 1
            free = f"{name}_{number}"
        unique.append(free)
    return unique


def _plain(value: Any) -> Any:
    from datetime import date, datetime
    from decimal import Decimal

    if isinstance(value, datetime | date):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, float) and not math.isfinite(value):  # JSON has no such numbers
        return "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _parquet(relation: Any, names: list[str], _kinds: list[str], file: IO[bytes]) -> None:
    import pyarrow.parquet as pq

    if file.isatty():
        raise QueryError("query", "Parquet cannot be written to a terminal; use --to FILE")
    reader, unique = relation.to_arrow_reader(_BATCH), _unique(names)
    with pq.ParquetWriter(file, _renamed(reader.schema, unique)) as writer:
        for batch in reader:
            writer.write_batch(batch.rename_columns(unique))


_WRITERS: dict[str, Callable[[Any, list[str], list[str], IO[bytes]], None]] = {
    "table": _table,
    "csv": _csv,
    "json": _json,
    "parquet": _parquet,
}
