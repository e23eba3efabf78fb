"""The tools `query` and `validate`: rows of the tables, and checks of the rows of archives."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import partial
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import anyio

from crypto_lakehouse.executors.processes.executor import how_it_ended
from crypto_lakehouse.executors.processes.one_answer import bytes_of
from crypto_lakehouse.integrations.mcp.answers import (
    MOST_BYTES,
    BoundedList,
    RefusedError,
    some_notes,
)
from crypto_lakehouse.integrations.mcp.arguments import selection_of
from crypto_lakehouse.integrations.mcp.bounded_query import TOO_MUCH, BoundedQuery
from crypto_lakehouse.integrations.mcp.served import Served
from crypto_lakehouse.workflows.validation import ValidationWorkflow
from crypto_lakehouse.workflows.wiring.needed_packages import need_tables

if TYPE_CHECKING:
    from crypto_lakehouse.tables.quality.findings import ArchiveQuality, ValidationReport

__all__ = ["query", "validate"]

_PROGRAM = "crypto_lakehouse.integrations.mcp.query_program"

#: The most that the process of a query writes, in bytes: two bounded lists, and their names.
_WRITTEN_BYTES = 4 * MOST_BYTES

#: The verdicts on archives, the worst first.
_VERDICTS = ("unreadable", "quarantined", "error", "warning", "good")


async def query(served: Served, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Answer with the first rows of a query, which runs in a process of its own."""
    need_tables()
    asked = BoundedQuery(
        parent=os.getpid(),
        config=await served.of_lake({}),
        sql=arguments["sql"],
        as_of=arguments.get("as_of"),
        most=min(arguments["limit"], served.most_rows),
    )
    return await served.in_time(partial(_answered, asked))


async def _answered(asked: BoundedQuery) -> dict[str, Any]:
    """Run a query in a process, which has ended when this returns or is cancelled.

    A statement of DuckDB can take any time and memory in one step, in which a thread cannot be
    stopped.
    """
    # What a killed process leaves is removed with it.
    with TemporaryDirectory(prefix="crypto-lakehouse-", ignore_cleanup_errors=True) as temporary:
        ended = await bytes_of(
            _PROGRAM,
            asked,
            variables={"TMPDIR": temporary},
            most_bytes=_WRITTEN_BYTES,
            is_killed=True,
        )
    if ended.code < 0:
        raise RefusedError(f"{TOO_MUCH}: its process gave no answer, {how_it_ended(ended.code)}")
    if not ended.answer:
        raise RuntimeError(ended.reason)  # a fault in the program: its traceback is for the log
    found: dict[str, Any] = json.loads(ended.answer)
    if "failure" in found:
        raise RefusedError(found["failure"])
    answer: dict[str, Any] = found["answer"]
    return answer


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
