"""`crypto-lakehouse lake`: inspect and maintain the tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from crypto_lakehouse.cli.age_option import days_of
from crypto_lakehouse.cli.command_group import CommandGroup
from crypto_lakehouse.cli.json_output import json_line
from crypto_lakehouse.cli.lake_options import open_lake, place_options
from crypto_lakehouse.cli.lake_verify_output import print_verified
from crypto_lakehouse.cli.list_option import ListOption
from crypto_lakehouse.cli.lock_wait import wait_for_lock_now, wait_option
from crypto_lakehouse.core.config.sources import parse_text_value
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.core.visible import visible

if TYPE_CHECKING:
    from crypto_lakehouse.tables.lake.lake import Lake

__all__ = ["command"]

_counted = partial(plural, form=",")

_TABLE = click.argument("tables", nargs=-1, metavar="[TABLE]...")


@click.group("lake", short_help="Show, check and maintain the tables.", cls=CommandGroup)
def command() -> None:
    """Show tables and their snapshots; verify, compact, expire, sweep, relocate."""


@command.command("tables")
@place_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_tables(**given: Any) -> int:
    """List the tables, with rows, files and bytes.

    If the metadata of a table names another directory than this one, as that of a copy does, the
    JSON object of the table has it as `made_in`.
    """
    from crypto_lakehouse.cli.render import bytes_text

    with open_lake(given) as lake:
        found = {name: _summary(lake, name) for name in lake.tables}
        here = str(lake.catalog.root.resolve())
    if given["as_json"]:
        click.echo(json_line(found))
        return 0
    for name, facts in found.items():
        click.echo(
            f"{name}: {_counted(facts['rows'], 'row')}, {_counted(facts['files'], 'file')}, "
            f"{bytes_text(facts['bytes'])}, {_counted(facts['snapshots'], 'snapshot')}"
        )
    places = sorted({facts["made_in"] for facts in found.values() if "made_in" in facts})
    if places:
        named = " and ".join(f"`{visible(place)}`" for place in places)
        click.echo(
            f"The metadata names {named}, where the lake was made, and not `{visible(here)}`; "
            "before other Iceberg engines read it, run `crypto-lakehouse lake relocate`."
        )
    return 0


def _summary(lake: Lake, name: str) -> dict[str, Any]:
    from crypto_lakehouse.tables.lake.relocation import made_in

    table, files = lake.data_files(name)
    place = made_in(lake.catalog, name)
    return {
        "rows": sum(file.record_count for file in files),
        "files": len(files),
        "bytes": sum(file.file_size_in_bytes for file in files),
        "snapshots": len(table.metadata.snapshots),
        **({} if place is None else {"made_in": place}),
    }


@command.command("snapshots")
@place_options
@click.argument("table")
def list_snapshots(**given: Any) -> int:
    """List the versions of a table, oldest first."""
    with open_lake(given) as lake:
        for each in lake.snapshots(given["table"]):
            click.echo(
                f"{each.at:%Y-%m-%dT%H:%M:%SZ}  {each.snapshot_id}  {each.operation:<9}  "
                f"{_counted(each.rows, 'row')}, {_counted(each.files, 'file')}, "
                f"+{each.added:,} -{each.removed:,}"
            )
    return 0


@command.command("verify", short_help="Read every data file, and name those that are damaged.")
@place_options
@click.option("--tables", "-t", cls=ListOption, metavar="LIST",
              help="Only these tables, as spot.klines,spot.trades.")  # fmt: skip
@click.option("--all", "with_older", is_flag=True,
              help="Read the files of older snapshots, too.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify_tables(**given: Any) -> int:
    """Read every data file of the tables, and name those that are damaged.

    A file is damaged if it is gone, cannot be read, or has another size or number of rows than the
    table's metadata says; if a page does not match its checksum; or if its statistics contradict
    its rows. The rows of each archive are compared with `lakehouse.archives`. Nothing is changed.
    The exit code is 4 if anything is damaged.

    \b
    Examples:
      crypto-lakehouse lake verify -o data -t spot.klines
    """  # noqa: D301 - click reads \b
    given["tables"] = _names(given["tables"])
    with open_lake(given) as lake:
        from crypto_lakehouse.tables.lake.verification import verify_tables as verified

        found = [*verified(lake.catalog, _named(lake, given), with_older=given["with_older"])]
    print_verified(found, as_json=given["as_json"])
    return 0 if all(each.is_whole for each in found) else 4


def _names(text: str | None) -> list[str]:
    """The tables of an option; an empty list, which selects all, if it is not given.

    Raises:
        UsageError: It is given without a name, or is not a list.
    """
    if text is None:
        return []
    try:
        names = parse_text_value(text, tuple[str, ...])
    except ValueError as error:
        raise click.UsageError(f"--tables: {error}") from None
    if not (names and isinstance(names, list)):
        reason = "--tables must name tables; leave the option out to verify all."
        raise click.UsageError(reason)
    return [str(name) for name in names]


@command.command("compact", short_help="Merge the small files of each partition into one.")
@place_options
@wait_option
@_TABLE
def compact_tables(**given: Any) -> int:
    """Merge the small files of each partition into one; all tables, or those named."""
    from crypto_lakehouse.version import __version__

    with _locked(given) as lake:
        from crypto_lakehouse.tables.lake.maintenance import compact

        for name in _named(lake, given):
            done = compact(lake.catalog, name, tool_version=__version__)
            files = _counted(done.files_before, "file")
            click.echo(f"{name}: {files} before, {done.files_after:,} after")
    return 0


@command.command("expire", short_help="Expire old snapshots, and delete their files.")
@place_options
@wait_option
@_TABLE
@click.option("--older-than", callback=days_of, default="7d", metavar="DAYS",
              help="Expire snapshots older than this, as 30d or 2w. [default: 7d]"
              )  # fmt: skip
def expire_snapshots(**given: Any) -> int:
    """Expire old snapshots, and delete the files that only they refer to.

    The newest snapshot always stays. Rows that were replaced earlier can no longer be read.
    """
    before = datetime.now(UTC) - timedelta(days=given["older_than"])
    with _locked(given) as lake:
        from crypto_lakehouse.tables.lake.maintenance import expire

        for name in _named(lake, given):
            expired = expire(lake.catalog, name, before=before)
            click.echo(f"{name}: {_counted(expired, 'snapshot')} expired")
    return 0


@command.command("sweep")
@place_options
@wait_option
@_TABLE
@click.option("--older-than", callback=days_of, metavar="DAYS",
              help="Only files older than this, as 1d or 2w. [default: 1d with --catalog, else 0]"
              )  # fmt: skip
def sweep_orphans(**given: Any) -> int:
    """Delete files in the tables' folders that no snapshot refers to."""
    days = given["older_than"]
    if days is None and given["catalog"]:
        days = 1.0
    before = None if days is None else datetime.now(UTC) - timedelta(days=days)
    with _locked(given) as lake:
        from crypto_lakehouse.tables.lake.maintenance import sweep

        for name in _named(lake, given):
            deleted = sweep(lake.catalog, name, before=before)
            click.echo(f"{name}: {_counted(len(deleted), 'file')} deleted")
    return 0


@command.command("relocate")
@place_options
@wait_option
@click.option("--dry-run", is_flag=True, help="Only show what would be written.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def relocate_tables(**given: Any) -> int:
    """Make the metadata of a copied or moved lake name its own files.

    This program finds the files of a lake wherever it is. Other Iceberg engines follow the absolute
    paths in the metadata, and would read the original of a copy. Data files are not changed, and
    every snapshot can be read afterwards. A lake whose metadata names its own files stays as it is.

    \b
    Examples:
      crypto-lakehouse lake relocate -o data --dry-run
    """  # noqa: D301 - click reads \b
    with _locked(given) as lake:
        from crypto_lakehouse.tables.lake.relocation import relocate

        found = (relocate(lake.catalog, name, dry_run=given["dry_run"]) for name in lake.tables)
        done = [each for each in found if each is not None]
        here = str(lake.catalog.root.resolve())
    if given["as_json"]:
        tables = {each.table: {"made_in": each.made_in, "files": each.files} for each in done}
        click.echo(json_line({"lake": here, "dry_run": given["dry_run"], "tables": tables}))
        return 0
    would = "would be " if given["dry_run"] else ""
    for each in done:
        files = _counted(each.files, "file")
        click.echo(f"{each.table}: {files} {would}written; it named `{visible(each.made_in)}`")
    click.echo(f"{plural(len(done), 'table')} {would}relocated to `{visible(here)}`")
    return 0


@contextmanager
def _locked(given: dict[str, Any]) -> Iterator[Lake]:
    """Open the lake and take its lock, so that no run writes at the same time."""
    from crypto_lakehouse.ledger.lock import configured_lock

    setting = "--lake" if given["lake"] else "--output"
    with open_lake(given) as lake:
        path = lake.catalog.root / "lock"
        wait_for_lock_now(path, given["wait"])
        with configured_lock(path, setting):
            yield lake


def _named(lake: Lake, given: dict[str, Any]) -> list[str]:
    """The tables that are named, each once; all if none is.

    Raises:
        QueryError: Some do not exist; all of those are named.
    """
    if not given["tables"]:
        return lake.tables
    return [".".join(table.name()) for table in lake.existing(given["tables"])]
