"""The schemas as a page for people: `python -m crypto_lakehouse.tables.schema.schema_docs`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date

from crypto_lakehouse.core.archive import Archive, Market, Partition, Period, Series
from crypto_lakehouse.core.data_types import kind_of
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.matrix.model import MatrixRow
from crypto_lakehouse.tables.schema.schemas import Column, TableSchema, load_schemas

__all__ = ["render_schemas"]

_INTRO = """\
# Schemas

The columns of each archive, and what they become in the tables; and the tables of
[recorded messages](record.md#rows-of-messages), which have no archives. This page is written by
`python -m crypto_lakehouse.tables.schema.schema_docs` from `matrix/schemas.json` and
`matrix/binance.json`; facts are changed there.

- Times are UTC timestamps in microseconds, whatever unit the archive has; `lakehouse.archives`
  records the original unit, whether there was a header, and the original columns.
- Numbers are float64, or decimal(38, 18) in a lake made with `--exact`.
- Every table has `symbol` (the archive's), `interval` if its type has one, and `archive`: the
  object key of the archive that a row came from, by which `lakehouse.archives` is joined.
- Rows of recordings are in the same tables. A column that messages lack is NULL there.
- Each file is examined: whether line 1 is a header, how many fields a line has, milliseconds or
  microseconds. The eras below are typical. Anything else is refused with its line and column.
- A source links to what is known about the archive, and how sure it is.
"""

_TYPES = {
    "time": "timestamp",
    "datetime": "timestamp",
    "date": "date",
    "id": "int64",
    "count": "int64",
    "number": "float64",
    "flag": "boolean",
    "text": "string",
}

_SYMBOLS = {
    Market.SPOT: "BTCUSDT",
    Market.FUTURES_UM: "BTCUSDT",
    Market.FUTURES_CM: "BTCUSD_PERP",
    Market.OPTIONS: "BTCUSDT",
}

_DAY = date(2023, 7, 15)

#: A section of another page, as sources cite it.
_SECTION = re.compile(r"\bdocs/([\w-]+\.md#)([\w-]+)")


def render_schemas() -> str:
    """All schemas in Markdown; the same on every machine."""
    matrix = load_matrix()
    tables = load_schemas().values()
    parts = [_INTRO, *_contents(tables)]
    for schema in tables:
        row = matrix.row(schema.market, schema.data_type)
        parts += ["", f"## {schema.name}", "", *_facts(schema, row), "", *_columns(schema)]
    return "\n".join(parts) + "\n"


def _contents(tables: Iterable[TableSchema]) -> Iterator[str]:
    yield "| table | archives | key |"
    yield "|---|---|---|"
    for schema in tables:
        anchor = schema.name.replace(".", "")
        key = ", ".join(schema.key) if schema.unique else "none"
        of = f"{schema.data_type} of {schema.market}"
        archives = f"none: recorded `{_stream(schema)}`" if schema.recorded else of
        yield f"| [{schema.name}](#{anchor}) | {archives} | {key} |"


def _stream(schema: TableSchema) -> StreamKind | None:
    return kind_of(schema.market, schema.data_type)


def _facts(schema: TableSchema, row: MatrixRow | None) -> Iterator[str]:
    if row is None:
        yield f"- recorded: `{_stream(schema)}`"
    else:
        yield f"- archives as `{_example(schema, row).key}`"
    yield f"- partitioned by {', '.join(f'`{each}`' for each in schema.partition)}"
    yield f"- sorted by {', '.join(f'`{each}`' for each in schema.sort_key)}"
    if row is None:
        return
    headers = ((era.since, "yes" if era.header else "no") for era in row.header_eras)
    yield f"- header: {_eras(headers)}"
    if any(column.kind == "time" for column in schema.columns):
        units = ((era.since, _UNITS[era.unit]) for era in row.time_unit_eras)
        yield f"- times are published in {_eras(units)}"
    elif schema.derives_time:
        yield f"- `{schema.time}` is made of `date` and `hour`"


_UNITS = {"ms": "milliseconds", "us": "microseconds"}


def _eras(eras: Iterable[tuple[date | None, str]]) -> str:
    return ", ".join(f"{value} since {since}" if since else value for since, value in eras)


def _example(schema: TableSchema, row: MatrixRow) -> Archive:
    symbol = row.symbols[0] if row.symbols else _SYMBOLS[schema.market]
    if row.symbol_form == "pair":
        symbol = symbol.partition("_")[0]
    interval = "1h" if schema.has_interval else None
    daily = Partition.DAILY in row.partitions
    period = Period.day(_DAY) if daily else Period.month(_DAY)
    return Archive(Series(schema.market, schema.data_type, symbol, interval), period)


def _columns(schema: TableSchema) -> Iterator[str]:
    yield "| published | in the table | type | unit | meaning | source |"
    yield "|---|---|---|---|---|---|"
    for column in schema.columns:
        name, kind = _place(column)
        yield (
            f"| `{column.published}` | {name} | {kind} | {column.unit} | {column.meaning} | "
            f"{_linked(column.source)} |"
        )


def _linked(source: str) -> str:
    return _SECTION.sub(r"[\2](\1\2)", source)


def _place(column: Column) -> tuple[str, str]:
    if column.constant:
        return "left out: it repeats the archive's symbol", _TYPES[column.kind]
    if not column.stored:
        return "left out", "-"
    nullable = ", may be NULL" if column.nullable else ""
    nullable += "" if column.streamed else ", NULL if recorded"
    return f"`{column.name}`", _TYPES[column.kind] + nullable


if __name__ == "__main__":
    print(render_schemas(), end="")  # noqa: T201 - what it is for
