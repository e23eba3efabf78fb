"""The tools `query` and `validate`: rows of the tables, and checks of the rows of archives."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import anyio
from attrs import define, field

from crypto_lakehouse.core.errors import LakehouseError
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.integrations.mcp.answers import BoundedList, RefusedError, some_notes
from crypto_lakehouse.integrations.mcp.arguments import selection_of
from crypto_lakehouse.integrations.mcp.interruptible import run_interruptible
from crypto_lakehouse.integrations.mcp.served import Served
from crypto_lakehouse.workflows.lake_config import LakeConfig
from crypto_lakehouse.workflows.validation import ValidationWorkflow
from crypto_lakehouse.workflows.wiring.lake_at import lake_at
from crypto_lakehouse.workflows.wiring.needed_packages import need_tables

if TYPE_CHECKING:
    from crypto_lakehouse.tables.lake.sql import QuerySession
    from crypto_lakehouse.tables.quality.findings import ArchiveQuality, ValidationReport

__all__ = ["query", "validate"]

#: What DuckDB may use for a query.
_MEMORY_BYTES, _TEMPORARY_BYTES = 1 << 30, 4 << 30

#: How many rows are read at a time, and how many bytes these may have: one value can be a gigabyte.
_BATCH_ROWS, _BATCH_BYTES = 256, 4 << 20

#: The verdicts on archives, the worst first.
_VERDICTS = ("unreadable", "quarantined", "error", "warning", "good")


async def query(served: Served, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Answer with the first rows of a query."""
    need_tables()
    config = await served.of_lake({})
    asked = _Query(
        config=config,
        sql=arguments["sql"],
        as_of=arguments.get("as_of"),
        most=min(arguments["limit"], served.most_rows),
    )
    with anyio.move_on_after(served.timeout_s) as scope:
        try:
            return await run_interruptible(asked.answer, asked.interrupt)
        except LakehouseError:
            if not scope.cancel_called:  # else it was interrupted
                raise
    raise served.too_late()


@define
class _Query:
    """A query of one call, in a session of its own.

    Attributes:
        config: Says where the tables are.
        sql: What is asked.
        as_of: The time of the tables; None for now.
        most: How many rows are wanted at most.
    """

    config: LakeConfig
    sql: str
    as_of: str | None
    most: int
    _session: QuerySession | None = field(default=None, init=False)

    def interrupt(self) -> None:
        """End the statement that runs, from another thread."""
        import duckdb

        session = self._session
        if session is not None:
            with suppress(duckdb.Error):  # it has just been closed
                session.interrupt()

    def answer(self) -> dict[str, Any]:
        """Run it; blocking.

        Raises:
            LakehouseError: The tables cannot be read, or the query is wrong or refused.
            RefusedError: Its rows are too large.
        """
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
            self._session = session
            try:
                return self._rows(session)
            finally:
                self._session = None

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
        if rows.left_out and not rows.items:
            raise RefusedError("the first row is larger than an answer; select shorter values")
        return {"columns": columns, "rows": rows.items, "has_more_rows": rows.left_out > 0}


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


async def validate(served: Served, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Answer what the checks find in the rows of archives; when time is over, in those read."""
    workflow = ValidationWorkflow(await served.of_lake(selection_of(arguments)))
    with anyio.move_on_after(served.timeout_s) as scope:
        await workflow.run()
    report = workflow.report()
    notes = [*report.notes]
    if scope.cancelled_caught:
        notes.append("the time was over before all archives were read; select fewer series")
    return {
        "complete": not scope.cancelled_caught,
        **_found(report, min(arguments["limit"], served.most_rows)),
        **({"notes": some_notes(notes)} if notes else {}),
    }


def _found(report: ValidationReport, most: int) -> dict[str, Any]:
    problems = BoundedList(most)
    faulty = (each for each in report.archives if each.fault or each.findings)
    for archive in sorted(faulty, key=lambda each: _VERDICTS.index(each.verdict)):
        problems.add(_problem(archive))
    whole = report.as_dict()
    return {
        **{name: whole[name] for name in ("archives", "rows", "verdicts", "checks")},
        "problems": problems.items,
        "problems_left_out": problems.left_out,
    }


def _problem(archive: ArchiveQuality) -> dict[str, Any]:
    findings = [
        {
            "check": each.check,
            "severity": str(each.severity),
            "rows": each.rows,
            "sentence": each.sentence,
        }
        for each in archive.findings
    ]
    fault = {"fault": archive.fault} if archive.fault else {}
    return {"archive": archive.key, "verdict": archive.verdict, **fault, "findings": findings}
