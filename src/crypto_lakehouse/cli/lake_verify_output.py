"""How the results of `lake verify` are printed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import click

from crypto_lakehouse.cli.json_output import json_line
from crypto_lakehouse.core.messages import agreeing, plural
from crypto_lakehouse.core.visible import visible

if TYPE_CHECKING:
    from crypto_lakehouse.tables.lake.verification import VerifiedTable

__all__ = ["print_verified"]

_counted = partial(plural, form=",")

_REMEDY = (
    "delete the damaged files that are named, and run `crypto-lakehouse ingest`: it writes their "
    "rows again from the archives (if files of `lakehouse.differences` are damaged, move the lake "
    "away first: it builds the tables again)"
)

_REWRITTEN = "`crypto-lakehouse ingest --again` writes [it|them] with checksums"

_REWRITTEN_RECORDS = (
    "`crypto-lakehouse lake compact` writes [it|them] with checksums when it merges [it|them] with "
    "others"
)


def print_verified(tables: list[VerifiedTable], *, as_json: bool) -> None:
    """Print the results to standard output, and the remedy, if one is needed, to standard error."""
    if as_json:
        is_whole = all(each.is_whole for each in tables)
        found = {each.table: each.to_mapping() for each in tables}
        click.echo(json_line({"is_whole": is_whole, "tables": found}))
    else:
        for each in tables:
            for line in _lines(each):
                click.echo(line)
    if remedy := _remedy(tables):
        click.echo(remedy, err=True)


def _lines(table: VerifiedTable) -> Iterator[str]:
    files, rows = _counted(table.files, "file"), _counted(table.rows, "row")
    yield f"{table.table}: {files}, {rows}: {_verdict(table)}"
    for file in table.damaged:
        older = "" if file.is_current else " (only older snapshots have it)"
        yield f"  {visible(file.path)}: {file.reason}{older}"
    for archive in table.archives:
        recorded = _counted(archive.recorded, "row")
        yield f"  {archive.key}: {archive.rows:,} of {recorded} found in whole files"
    if not table.is_compared:
        yield (
            "  the rows of its archives were not compared, because a run is writing to it or was "
            "killed: run `crypto-lakehouse ingest`, then this command again"
        )
    if table.without_checksums:
        count = table.without_checksums
        is_record = table.table.startswith("lakehouse.")
        yield agreeing(
            count,
            f"  {count:,} file[s] [has|have] no page checksums, so a flipped bit in a value may "
            f"not be noticed: {_REWRITTEN_RECORDS if is_record else _REWRITTEN}",
        )


def _verdict(table: VerifiedTable) -> str:
    if table.is_whole:
        return "whole"
    damaged = agreeing(len(table.damaged), f"{len(table.damaged):,} file[s] damaged")
    archives = agreeing(len(table.archives), f"{len(table.archives):,} archive[s] affected")
    return f"{damaged}, {archives}"


def _remedy(tables: list[VerifiedTable]) -> str:
    current = any(each.archives or any(file.is_current for file in each.damaged) for each in tables)
    if current:
        return _REMEDY
    if not all(each.is_whole for each in tables):
        return "only older snapshots are damaged: `crypto-lakehouse lake expire` removes them"
    return ""
