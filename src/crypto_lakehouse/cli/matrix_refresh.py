"""`crypto-lakehouse matrix refresh`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import click

from crypto_lakehouse.cli.file_names import file_only
from crypto_lakehouse.cli.json_output import json_line
from crypto_lakehouse.cli.options import option_overrides
from crypto_lakehouse.cli.progress import step_display
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.core.progress import StepProgress

if TYPE_CHECKING:
    from crypto_lakehouse.core.events import Event
    from crypto_lakehouse.matrix.crawl import CrawlProgress
    from crypto_lakehouse.matrix.diff import MatrixDiff
    from crypto_lakehouse.matrix.model import MatrixRow
    from crypto_lakehouse.sinks.steps import StepDisplay
    from crypto_lakehouse.workflows.matrix_refresh import RefreshedMatrix

__all__ = ["command"]


@click.command("refresh", short_help="Write a dated matrix with all symbols of a source.")
@click.option(
    "--source-url",
    metavar="URL",
    help="The archive or a mirror. [default: https://data.binance.vision]",
)
@click.option(
    "--listing-url",
    metavar="URL",
    help="The source's S3 listing. [default: the known one, else the source itself]",
)
@click.option(
    "--allow-http/--no-allow-http",
    default=None,
    help="Allow plain http:// to other hosts. [default: no]",
)
@click.option(
    "--proxy", metavar="URL", help="environment, none, or a proxy's URL. [default: environment]"
)
@click.option(
    "--ca-bundle", metavar="FILE", help="Trust these certificate authorities, and no others."
)
@click.option(
    "--matrix",
    "--matrix-path",
    "matrix_path",
    metavar="FILE",
    type=click.Path(),
    help="The matrix to begin with. [default: the shipped one]",
)
@click.option(
    "--max-parallel-downloads", "-j", metavar="N", help="1 to 256, or auto. [default: 16]"
)
@click.option(
    "--timeout-seconds", metavar="SECONDS", help="How long the source may be silent. [default: 300]"
)
@click.option("--max-retries", metavar="N", help="0 to 20, with growing waits. [default: 5]")
@click.option(
    "--to",
    "destination",
    metavar="FILE",
    callback=file_only,
    help="Where to write it. [default: binance-YYYY-MM-DD.json]",
)
@click.option("--force", is_flag=True, help="Overwrite FILE if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def command(
    destination: str | None, *, force: bool, as_json: bool, **given: Any
) -> int:  # fmt: skip
    """List a source's folders, and write a dated matrix with the symbols of each series.

    Delisted symbols are included, so that a later run over `-s "*USDT"` has no survivorship bias.
    No file is listed or fetched: a few requests for each data type, and one for each symbol that
    has intervals. Lags, columns and first days are taken from the matrix to begin with; markets and
    types that it lacks are reported. Exit code 5: something could not be listed, and nothing is
    written.

    \b
    Examples:
      crypto-lakehouse matrix refresh
      crypto-lakehouse matrix refresh --matrix binance-2026-11-01.json --to today.json
      crypto-lakehouse matrix refresh --source-url https://mirror.example --json
    """  # noqa: D301 - click reads \b
    return anyio.run(partial(_refresh, given, destination, force=force, as_json=as_json))


async def _refresh(
    given: dict[str, Any], destination: str | None, *, force: bool, as_json: bool
) -> int:
    from crypto_lakehouse.matrix.diff import diff_matrices
    from crypto_lakehouse.workflows.matrix_refresh import (
        check_destination,
        refresh_matrix,
        write_matrix,
    )
    from crypto_lakehouse.workflows.wiring.load_config import load_config

    today = datetime.now(UTC).date()
    path = Path(destination or f"binance-{today}.json")
    check_destination(path, overwrite=force)
    fixed = {"output_directory": ".", "discovery": "listing"}
    config = await load_config(None, {**option_overrides(given), **fixed})
    with step_display(quiet=False) as display:
        refreshed = await refresh_matrix(
            config, today=today, emit=_show, on_progress=partial(_shown, display)
        )
    write_matrix(refreshed.matrix, path, overwrite=force)
    for note in refreshed.notes:
        click.echo(f"note: {note}", err=True)
    changes = diff_matrices(refreshed.base, refreshed.matrix)
    if as_json:
        result = _mapping(refreshed, path, today, changes)
        click.echo(json_line(result))
    else:
        _print(refreshed, path, changes)
    return 0


async def _show(events: Sequence[Event]) -> None:
    from crypto_lakehouse.core.events import ListingRetried, RunNoted

    for event in events:
        if isinstance(event, RunNoted):
            click.echo(f"note: {event.message}", err=True)
        elif isinstance(event, ListingRetried):
            line = f"retry {event.attempt} in {event.wait_s:.1f} s: {event.reason}"
            click.echo(line, err=True)


def _shown(display: StepDisplay, progress: CrawlProgress) -> None:
    display.show(StepProgress("listing", progress.listed, progress.expected, "folder"))


def _counts(row: MatrixRow) -> dict[str, int]:
    """How many symbols the row has, and each of its partitions."""
    alone = {partition: len(names) for partition, names in row.partition_symbols.items()}
    return {"symbols": len(row.symbols)} | {
        str(partition): len(row.symbols) - sum(alone.values()) + alone.get(partition, 0)
        for partition in row.partitions
    }


def _mapping(
    refreshed: RefreshedMatrix, path: Path, today: date, changes: MatrixDiff
) -> dict[str, object]:
    return {
        "file": str(path),
        "observed": str(today),
        "folders_listed": refreshed.listed,
        "rows": [
            {"market": row.market, "data_type": row.data_type, **_counts(row)}
            for row in refreshed.matrix.rows
        ],
        "notes": list(refreshed.notes),
        "changes": changes.to_mapping()["changes"],
    }


def _print(refreshed: RefreshedMatrix, path: Path, changes: MatrixDiff) -> None:
    from crypto_lakehouse.cli.render import print_table

    columns = ("symbols", "daily", "monthly")
    lines = [
        (row.market, row.data_type, *(_counts(row).get(column, "-") for column in columns))
        for row in refreshed.matrix.rows
    ]
    print_table(
        f"matrix {path}",
        ("market", "data type", *columns),
        lines,
        droppable=("monthly", "daily"),
        foldable=(),
    )
    count = len(changes.changes)
    click.echo(
        f"{path} is written, {plural(refreshed.listed, 'folder')} listed; "
        f"{plural(count, 'difference')} from {refreshed.base.origin}"
    )
