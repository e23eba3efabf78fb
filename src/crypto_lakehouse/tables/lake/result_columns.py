"""Columns of a query's result in types that a format can hold without loss.

DuckDB has more types than Arrow, Parquet, JSON and CSV, and its conversion to Arrow changes some
values silently: a UHUGEINT becomes negative, a TIMETZ loses its offset. Such columns are converted
by DuckDB first, to text, as its own `CAST(... AS VARCHAR)` writes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crypto_lakehouse.core.errors import QueryError

__all__ = ["as_form", "starts_formula", "without_formulas"]

#: What a spreadsheet program may take for the beginning of a formula in a CSV file.
#: Source: OWASP, CSV Injection, and ASVS 5.0, 1.2.10.
_FORMULA_STARTS = "=+-@\t\r\n\0\uff1d\uff0b\uff0d\uff20"

_APOSTROPHE = "'"

#: Types whose text is a number.
_NUMBERS = frozenset(
    {"tinyint", "utinyint", "smallint", "usmallint", "integer", "uinteger", "bigint", "ubigint",
     "hugeint", "uhugeint", "bignum", "float", "double", "decimal"}
)  # fmt: skip

_PLAIN = frozenset(
    {"null", "boolean", "tinyint", "utinyint", "smallint", "usmallint", "integer", "uinteger",
     "bigint", "ubigint", "double", "decimal", "varchar", "enum", "uuid"}
)  # fmt: skip

#: Types of days and times that have infinities, which only DuckDB knows.
_DATES = frozenset({"date", "timestamp", "timestamp_s", "timestamp_ms", "timestamp with time zone"})
_NANOSECONDS = frozenset({"timestamp_ns"})

#: Types that are kept, by format. Of nested types, all parts must be kept.
_KEPT = {
    "table": _PLAIN | _DATES,
    "vertical": _PLAIN | _DATES,
    "csv": _PLAIN | _DATES | _NANOSECONDS | {"float", "hugeint"},
    "json": _PLAIN | _DATES | {"float", "hugeint", "list", "array", "struct", "map"},
    "parquet": _PLAIN | _DATES | _NANOSECONDS
    | {"float", "blob", "time", "time_ns", "list", "array", "struct", "map"},
}  # fmt: skip

#: What takes the place of types that are not kept; otherwise text does, or an error in Parquet.
_INSTEAD: Mapping[str, Mapping[str, str]] = {
    "parquet": {"hugeint": "DECIMAL(38, 0)", "uhugeint": "DECIMAL(38, 0)"},
}


def as_form(relation: Any, form: str) -> Any:
    """Return a result with columns that `form` can hold; their order stays, their names do not.

    Args:
        relation: A DuckDB relation.
        form: table, vertical, csv, json or parquet.

    Raises:
        QueryError: Parquet has no type for a column, or one is a list of lists of hundreds of
            levels.
    """
    columns = zip(relation.columns, relation.types, strict=True)
    try:
        converted = [
            _converted(number, name, kind, form) for number, (name, kind) in enumerate(columns, 1)
        ]
    except RecursionError:
        reason = "a column has too many levels of lists or structs; cast it to VARCHAR"
        raise QueryError("query", reason) from None
    if all(text == f"#{number}" for number, text in enumerate(converted, 1)):
        return relation
    return relation.project(", ".join(converted))


def starts_formula(text: str) -> bool:
    """Whether a spreadsheet program may take a text for a formula."""
    return text[:1] in set(_FORMULA_STARTS)


def without_formulas(relation: Any) -> Any:
    """Return a result whose texts do not begin like formulas: those get an apostrophe first.

    Numbers stay as they are, negative ones as well.

    Args:
        relation: A DuckDB relation, before `as_form`.
    """
    starts = ", ".join(f"chr({ord(each)})" for each in _FORMULA_STARTS)
    columns = []
    for number, kind in enumerate(relation.types, 1):
        column, text = f"#{number}", f"CAST(#{number} AS VARCHAR)"
        if str(kind.id) not in _NUMBERS | _DATES | _NANOSECONDS | {"boolean"}:
            escaped = f"chr({ord(_APOSTROPHE)}) || {text}"
            column = f"CASE WHEN left({text}, 1) IN ({starts}) THEN {escaped} ELSE {text} END"
        columns.append(column)
    return relation.project(", ".join(columns))


def _converted(number: int, name: str, kind: Any, form: str) -> str:
    column = f"#{number}"
    if str(kind.id) in _DATES | _NANOSECONDS:
        return _finite(column, name, kind, form)
    wanted = _wanted(kind, form)
    if wanted is None:
        reason = f"Parquet has no type for `{name}`, which is {kind}; cast it to VARCHAR"
        raise QueryError("query", reason)
    return column if wanted == str(kind) else f"CAST({column} AS {wanted})"


def _finite(column: str, name: str, kind: Any, form: str) -> str:
    """Return an expression that fails on an infinity, and on a year that `form` cannot write."""
    value = column
    if str(kind.id) in _NANOSECONDS - _KEPT[form]:
        text = f"CAST({column} AS VARCHAR)"
        value = f"replace({text}, ' ', 'T')" if form == "json" else text
    infinity = _failure(f"`{name}` has an infinity, which {form} has not")
    cases = f"WHEN {column} IS NULL THEN {value} WHEN NOT isfinite({column}) THEN {infinity}"
    if form != "parquet" and str(kind.id) in _DATES:
        # Arrow writes `<value out of range: ...>` into CSV; the datetimes of Python end in 9999.
        year = _failure(f"`{name}` has a year outside 1 to 9999, which {form} does not write")
        first, end = (f"CAST('{day}' AS {kind})" for day in ("0001-01-01", "10000-01-01"))
        cases += f" WHEN {column} < {first} OR {column} >= {end} THEN {year}"
    return f"CASE {cases} ELSE {value} END"


def _failure(reason: str) -> str:
    """Return an expression that fails."""
    quoted = f"{reason}; cast it to VARCHAR".replace("'", "''")
    return f"error('{quoted}')"


def _wanted(kind: Any, form: str) -> str | None:
    """Return the type that a value has in a format, None if there is none."""
    name = str(kind.id)
    instead = _INSTEAD.get(form, {}).get(name)
    if instead is None and name in _KEPT[form]:
        return _nested(kind, form) if name in {"list", "array", "struct", "map"} else str(kind)
    return instead or (None if form == "parquet" else "VARCHAR")


def _nested(kind: Any, form: str) -> str | None:
    children = dict(kind.children)
    size = children.pop("size", None) if str(kind.id) == "array" else None
    parts = {name: _wanted(child, form) for name, child in children.items()}
    if None in parts.values():
        return None
    if all(parts[name] == str(child) for name, child in children.items()):
        return str(kind)
    match str(kind.id):
        case "struct":
            fields = (
                f'"{name.replace(chr(34), chr(34) * 2)}" {each}' for name, each in parts.items()
            )
            return f"STRUCT({', '.join(fields)})"
        case "map":
            return f"MAP({parts['key']}, {parts['value']})"
        case _:
            return f"{parts['child']}[{'' if size is None else size}]"
