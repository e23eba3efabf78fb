"""Rows of a query, in the forms that people and programs read."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click

from crypto_lakehouse.core.errors import QueryError
from crypto_lakehouse.stores.whole_file import whole_file

__all__ = ["write_rows"]

#: Rows of a table that are shown; the rest is counted.
_SHOWN = 100

_BATCH = 1 << 16


def write_rows(relation: Any, form: str, to: str | None) -> None:
    """Write a result as `table`, `csv`, `json` (an object a line) or `parquet`.

    Raises:
        QueryError: The query fails while it runs, or the file cannot be written.
    """
    import duckdb

    try:
        with _opened(to) as file:
            _WRITERS[form](relation, file)
    except duckdb.Error as error:
        raise QueryError("query", str(error)) from error


@contextmanager
def _opened(to: str | None) -> Iterator[IO[bytes]]:
    if to is None:
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    try:
        with whole_file(Path(to)) as part, part.open("wb") as file:
            yield file
    except OSError as error:
        raise QueryError("query", f"`{to}` cannot be written: {error.strerror}") from error


def _table(relation: Any, file: IO[bytes]) -> None:
    from rich.console import Console
    from rich.table import Table

    # Through Arrow: DuckDB's own way to Python's times needs a package that we do without.
    found = relation.limit(_SHOWN + 1).to_arrow_table()
    rows = list(zip(*(column.to_pylist() for column in found.columns), strict=True))
    text = Table(box=None, pad_edge=False, header_style="bold")
    kinds = [str(kind) for kind in relation.types]
    for name, kind in zip(relation.columns, kinds, strict=True):
        text.add_column(name, justify="right" if _is_number(kind) else "left", no_wrap=True)
    for row in rows[:_SHOWN]:
        text.add_row(*(_cell(value) for value in row))
    with _text(file) as out:
        console = Console(file=out, width=None if sys.stdout.isatty() else 10_000)
        console.print(text)
    if len(rows) > _SHOWN:
        click.echo(f"the first {_SHOWN} rows are shown; --format csv has all", err=True)


@contextmanager
def _text(file: IO[bytes]) -> Iterator[IO[str]]:
    import io

    text = io.StringIO()
    yield text
    lines = (line.rstrip() for line in text.getvalue().splitlines())
    file.write("".join(f"{line}\n" for line in lines).encode())


def _is_number(kind: str) -> bool:
    return kind.startswith(
        ("DOUBLE", "DECIMAL", "BIGINT", "INTEGER", "HUGEINT", "UBIGINT", "FLOAT")
    )


def _cell(value: object) -> str:
    from datetime import datetime

    from rich.markup import escape

    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ").removesuffix("+00:00")
    return escape(f"{value:.10g}" if isinstance(value, float) else str(value))


def _csv(relation: Any, file: IO[bytes]) -> None:
    from pyarrow import csv

    reader = relation.to_arrow_reader(_BATCH)
    with csv.CSVWriter(file, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)


def _json(relation: Any, file: IO[bytes]) -> None:
    for batch in relation.to_arrow_reader(_BATCH):
        for row in batch.to_pylist():
            line = json.dumps(_plain(row), ensure_ascii=False)
            file.write(f"{line}\n".encode())


def _plain(value: Any) -> Any:
    from datetime import date, datetime
    from decimal import Decimal

    if isinstance(value, datetime | date):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return None if isinstance(value, float) and value != value else value
    return str(value)


def _parquet(relation: Any, file: IO[bytes]) -> None:
    import pyarrow.parquet as pq

    if file is sys.stdout.buffer and sys.stdout.isatty():
        raise QueryError("query", "Parquet is not for a terminal; use --to FILE")
    reader = relation.to_arrow_reader(_BATCH)
    with pq.ParquetWriter(file, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)


_WRITERS: dict[str, Callable[[Any, IO[bytes]], None]] = {
    "table": _table,
    "csv": _csv,
    "json": _json,
    "parquet": _parquet,
}
