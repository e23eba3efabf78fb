"""Which statements of SQL a session may run."""

from __future__ import annotations

import re

import duckdb

from crypto_lakehouse.core.errors import QueryError

__all__ = ["HARMLESS", "READING", "check_nesting", "check_statements", "check_text"]

#: Statements that a session may run: they read, or create objects in memory. All others could write
#: files, including those of the tables, or hide such a statement, as PREPARE does.
HARMLESS = frozenset(
    {"SELECT", "CREATE", "CREATE_FUNC", "DROP", "INSERT", "UPDATE", "DELETE", "SET",
     "VARIABLE_SET", "PRAGMA", "TRANSACTION", "ANALYZE", "CALL", "MULTI"}
)  # fmt: skip

#: The same of a session for queries of unknown origin; SHOW, DESCRIBE and SUMMARIZE are SELECT.
READING = frozenset({"SELECT"})

#: How many brackets may be open at once in a query of unknown origin. DuckDB's parser takes a time
#: that grows faster than the square of their number, in which nothing can interrupt it, and no
#: other thread of Python runs: minutes for 5,000.
_MOST_OPEN = 50

#: Functions that parse a text as SQL, which is then not known before.
_TAKE_SQL = frozenset(
    {"query", "json_execute_serialized_sql", "json_serialize_plan", "json_serialize_sql",
     "sql_auto_complete"}
)  # fmt: skip

_NAME = re.compile(rb'\w+|"\w+"')

_WRITING = re.compile(r"\b(copy|export|attach|prepare|execute|load|install)\b", re.IGNORECASE)


def check_text(query: str) -> None:
    """Refuse a text that DuckDB cannot take.

    Python keeps bytes of the command line that are not UTF-8 as surrogates.

    Raises:
        QueryError: It cannot be written in UTF-8.
    """
    try:
        query.encode()
    except UnicodeEncodeError as error:
        reason = f"the SQL is not valid UTF-8: character {error.start + 1} is wrong"
        raise QueryError("query", reason) from error


def check_nesting(query: str) -> None:
    """Refuse a text that DuckDB's parser would need very long for.

    Raises:
        QueryError: More brackets are open at once than a query may have, or it has a function that
            takes SQL as a text.
    """
    text = query.encode()
    kinds = duckdb.token_type
    depth, before = 0, ""
    tokens = [each for each in duckdb.tokenize(query) if each[1] != kinds.comment]
    for place, kind in tokens:
        sign = text[place : place + 1]
        if kind == kinds.operator and sign in b"([{":
            depth += 1
            if sign == b"(" and before in _TAKE_SQL:
                raise QueryError("query", f"the function `{before}` is refused: write its SQL")
        elif kind == kinds.operator and sign in b")]}":
            depth -= 1
        if depth > _MOST_OPEN:
            reason = f"more than {_MOST_OPEN} brackets are open at once; nest less"
            raise QueryError("query", reason)
        word = _NAME.match(text, place)
        before = word[0].strip(b'"').decode().casefold() if word else ""


def check_statements(statements: list[duckdb.Statement], allowed: frozenset[str]) -> None:
    """Refuse what is not allowed.

    Args:
        statements: All statements of a query.
        allowed: The names of the types that are; EXPLAIN is, too, unless it executes what writes.

    Raises:
        QueryError: There is no statement, or one is refused.
    """
    if not statements:
        raise QueryError("query", "there is no statement in it")
    for statement in statements:
        kind = _kind(statement)
        # EXPLAIN ANALYZE executes the statement.
        if kind == "EXPLAIN" and _WRITING.search(statement.query):
            kind = "EXPLAIN of what writes"
        if kind != "EXPLAIN" and kind not in allowed:
            raise QueryError("query", f"{kind} is refused: a query reads the tables only")


def _kind(statement: duckdb.Statement) -> str:
    """Return the name of a statement's type."""
    try:
        return statement.type.name
    except ValueError:  # DuckDB's Python lacks a name for some, such as UPDATE EXTENSIONS
        return "a statement of this type"
