"""A query of one call: it reads the tables within bounds of memory, temporary files and size."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.integrations.mcp.answers import BoundedList, RefusedError, known_failure
from crypto_lakehouse.workflows.lake_config import LakeConfig
from crypto_lakehouse.workflows.wiring.lake_at import lake_at

if TYPE_CHECKING:
    from crypto_lakehouse.tables.lake.sql import QuerySession

__all__ = ["TOO_MUCH", "BoundedQuery"]

#: What DuckDB may use for a query.
_MEMORY_BYTES, _TEMPORARY_BYTES = 1 << 30, 4 << 30

#: What the process may get for a query: what DuckDB counts, stacks of threads, and what it does not
#: count, as constants and the Arrow batches of the result.
_DATA_BYTES = 2 << 30

#: A query that exceeds either bound of memory.
TOO_MUCH = "the query needs more memory than 1 GiB; ask for less"

#: How many rows are read at a time, and how many bytes these may have: one value can be a gigabyte.
_BATCH_ROWS, _BATCH_BYTES = 256, 4 << 20


@frozen(kw_only=True)
class BoundedQuery:
    """A query, in a session of its own.

    Attributes:
        parent: The id of the process that asks.
        config: Says where the tables are.
        sql: What is asked.
        as_of: The time of the tables; None for now.
        most: How many rows are wanted at most.
    """

    parent: int
    config: LakeConfig
    sql: str
    as_of: str | None
    most: int

    def outcome(self) -> dict[str, Any]:
        """Return `answer`, or the sentence `failure`, in values that JSON can hold.

        On Linux this bounds the memory of the whole process while the query runs.
        """
        _import_tables()
        try:
            with _bounded_memory():
                return {"answer": self._answer()}
        except Exception as error:
            failure = TOO_MUCH if _is_of_memory(error) else known_failure(error)
            if failure is None:
                raise
            return {"failure": failure}

    def _answer(self) -> dict[str, Any]:
        from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
        from crypto_lakehouse.tables.lake.connection import QueryLimits
        from crypto_lakehouse.tables.lake.lake import Lake
        from crypto_lakehouse.tables.lake.sql import QuerySession

        limits = QueryLimits(memory_bytes=_MEMORY_BYTES, temporary_bytes=_TEMPORARY_BYTES)
        catalog = LakeCatalog(lake_at(self.config).place(), self.config.catalog)
        with (
            Lake(catalog) as lake,
            closing(QuerySession(lake, as_of=self.as_of, limits=limits)) as session,
        ):
            return self._rows(session)

    def _rows(self, session: QuerySession) -> dict[str, Any]:
        import duckdb
        import pyarrow as pa

        from crypto_lakehouse.core.errors import QueryError
        from crypto_lakehouse.tables.lake.connection import explained
        from crypto_lakehouse.tables.lake.json_rows import json_rows
        from crypto_lakehouse.tables.lake.result_columns import as_form

        try:
            relation = session.sql(self.sql)
            names, kinds = relation.columns, [str(kind) for kind in relation.types]
            columns, rows = _columns(names, kinds), BoundedList(self.most)
            reader = as_form(relation.limit(self.most + 1), "json").to_arrow_reader(_BATCH_ROWS)
            for batch in reader:
                _check_size(batch.nbytes)
                for row in json_rows(batch, names, kinds):
                    rows.add([*row.values()])
        except duckdb.Error as error:
            raise QueryError("query", explained(error)) from error
        except (pa.ArrowException, ValueError, OverflowError) as error:
            reason = f"a value cannot be written as JSON: {error}; cast its column to VARCHAR"
            raise QueryError("query", reason) from error
        except OSError as error:
            if error.errno is not None:
                raise
            # Arrow has the text of DuckDB's error, which occurred in a later batch.
            raise QueryError("query", str(error)) from error
        if rows.left_out and not rows.items:
            raise RefusedError("the first row is larger than an answer; select shorter values")
        return {"columns": columns, "rows": rows.items, "has_more_rows": rows.left_out > 0}


def _import_tables() -> None:
    """Import what queries need, so that its memory is not counted as that of a query."""
    from crypto_lakehouse.tables.lake import json_rows, lake, result_columns, sql  # noqa: F401


@contextmanager
def _bounded_memory() -> Iterator[None]:
    """Let what needs too much memory fail; only Linux counts all that a process can write to."""
    if sys.platform != "linux":
        yield
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[5])
    wanted = pages * os.sysconf("SC_PAGE_SIZE") + _DATA_BYTES
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    least = min(each for each in (wanted, soft, hard) if each != resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_DATA, (least, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _is_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, is that memory could not be had."""
    while error is not None:
        text = str(error)
        if isinstance(error, MemoryError) or "Out of Memory Error" in text or "bad_alloc" in text:
            return True
        error = error.__cause__
    return False


def _columns(names: list[str], kinds: list[str]) -> list[dict[str, str]]:
    columns = BoundedList(len(names))
    for name, kind in zip(names, kinds, strict=True):
        columns.add({"name": name, "type": kind})
    if columns.left_out:
        has = plural(len(names), "column", form=",")
        raise RefusedError(f"the query has {has}; select fewer of them")
    return columns.items


def _check_size(size: int) -> None:
    if size > _BATCH_BYTES:
        has = plural(size, "byte", form=",")
        reason = f"{_BATCH_ROWS} rows of the query have {has}; select shorter values"
        raise RefusedError(reason)
