"""`crypto-lakehouse lake`: inspect and maintain the tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from attrs import asdict

from crypto_lakehouse.cli.age_option import days_of
from crypto_lakehouse.cli.command_group import CommandGroup
from crypto_lakehouse.cli.failures import message_of, say_failure
from crypto_lakehouse.cli.json_output import failure_of, json_line
from crypto_lakehouse.cli.lake_options import (
    by_lake_option,
    named_place,
    open_lake,
    place_options,
    source_place,
)
from crypto_lakehouse.cli.lake_verify_output import print_verified
from crypto_lakehouse.cli.list_option import ListOption
from crypto_lakehouse.cli.lock_wait import LockWait, wait_option
from crypto_lakehouse.cli.unused_options import refuse_beside
from crypto_lakehouse.core.config.sources import parse_text_value
from crypto_lakehouse.core.errors import LakehouseError
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.core.visible import visible

if TYPE_CHECKING:
    from crypto_lakehouse.tables.iceberg.lake_place import LakePlace
    from crypto_lakehouse.tables.lake.lake import Lake
    from crypto_lakehouse.tables.lake.lake_copy import LakeCopy
    from crypto_lakehouse.workflows.table_upkeep import TableWork

__all__ = ["command"]

_counted = partial(plural, form=",")

_TABLE = click.argument("tables", nargs=-1, metavar="[TABLE]...")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group("lake", short_help="Show, check and maintain the tables.", cls=CommandGroup)
def command() -> None:
    """Show tables and their snapshots; verify, compact, expire, sweep, relocate."""


@command.command("tables")
@place_options
@_JSON
def list_tables(**given: Any) -> int:
    """List the tables, with rows, files and bytes.

    If the metadata of a table names another lake than this one, as that of a copy does, the JSON
    object of the table has it as `made_in`.
    """
    from crypto_lakehouse.cli.render import bytes_text

    with open_lake(given) as lake:
        found = {name: _summary(lake, name) for name in lake.tables}
        here = lake.catalog.place.root
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
@_JSON
def list_snapshots(**given: Any) -> int:
    """List the versions of a table, oldest first."""
    with open_lake(given) as lake:
        name, found = lake.resolve(given["table"]), lake.snapshots(given["table"])
    if given["as_json"]:
        versions = [asdict(each) | {"at": _moment(each.at)} for each in found]
        click.echo(json_line({"table": name, "snapshots": versions}))
        return 0
    for each in found:
        click.echo(
            f"{_moment(each.at)}  {each.snapshot_id}  {each.operation:<9}  "
            f"{_counted(each.rows, 'row')}, {_counted(each.files, 'file')}, "
            f"+{each.added:,} -{each.removed:,}"
        )
    return 0


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


@command.command("verify", short_help="Read every data file, and name those that are damaged.")
@place_options
@click.option("--tables", "-t", cls=ListOption, metavar="LIST",
              help="Only these tables, as spot.klines,spot.trades.")  # fmt: skip
@click.option("--all", "with_older", is_flag=True,
              help="Read the files of older snapshots, too.")  # fmt: skip
@_JSON
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
@_JSON
@_TABLE
def compact_tables(**given: Any) -> int:
    """Merge the small files of each partition into one; all tables, or those named."""
    from crypto_lakehouse.workflows.table_upkeep import compaction

    def told(done: dict[str, Any]) -> str:
        files = _counted(done["files_before"], "file")
        return f"{files} before, {done['files_after']:,} after"

    with _locked(given) as lake:
        return _do_each(given, lake, compaction, told)


@command.command("expire", short_help="Expire old snapshots, and delete their files.")
@place_options
@wait_option
@_JSON
@_TABLE
@click.option("--older-than", callback=days_of, default="7d", metavar="DAYS",
              help="Expire snapshots older than this, as 30d or 2w. [default: 7d]"
              )  # fmt: skip
def expire_snapshots(**given: Any) -> int:
    """Expire old snapshots, and delete the files that only they refer to.

    The newest snapshot always stays. Rows that were replaced earlier can no longer be read.
    """
    from crypto_lakehouse.workflows.table_upkeep import expiry

    def told(done: dict[str, Any]) -> str:
        return f"{_counted(done['snapshots'], 'snapshot')} expired"

    with _locked(given) as lake:
        return _do_each(given, lake, expiry(given["older_than"]), told)


@command.command("sweep")
@place_options
@wait_option
@_JSON
@_TABLE
@click.option("--older-than", callback=days_of, metavar="DAYS",
              help="Only files older than this, as 1d or 2w. [default: 0; 1d with --catalog or "
              "a URL]"
              )  # fmt: skip
def sweep_orphans(**given: Any) -> int:
    """Delete files in the tables' folders that no snapshot refers to."""
    with _locked(given) as lake:
        from crypto_lakehouse.tables.lake.maintenance import sweep, sweep_before

        before = sweep_before(lake.catalog, given["older_than"])

        def work(lake: Lake, name: str) -> dict[str, Any]:
            deleted = sweep(lake.catalog, name, before=before)
            return {"files": len(deleted), "paths": deleted}

        def told(done: dict[str, Any]) -> str:
            return f"{_counted(done['files'], 'file')} deleted"

        return _do_each(given, lake, work, told)


def _do_each(
    given: dict[str, Any],
    lake: Lake,
    work: TableWork,
    told: Callable[[dict[str, Any]], str],
) -> int:
    """Do work on each table that is named, and print the results; return the exit code.

    If it fails in the middle, the JSON object has what was done before.
    """
    as_json, done = given["as_json"], dict[str, dict[str, Any]]()
    try:
        for name in _named(lake, given):
            done[name] = work(lake, name)
            if not as_json:
                click.echo(f"{name}: {told(done[name])}")
    except LakehouseError as error:
        if not (as_json and done):
            raise
        failure = failure_of(message_of(error), error.exit_code)
        click.echo(json_line(failure | {"tables": done}))
        return say_failure(error)[0]
    if as_json:
        click.echo(json_line({"tables": done}))
    return 0


@command.command("relocate")
@place_options
@wait_option
@click.option("--from", "source", metavar="DIR|URL",
              help="Copy this lake first, or what is not here yet of its files.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only show what would be written.")
@_JSON
def relocate_tables(**given: Any) -> int:
    """Make the metadata of a copied or moved lake name its own files.

    The lake may have been copied from a directory to an object store, or back: -o or --lake is the
    place of the copy. With --from it is copied first; the size of each file is checked.

    This program finds the files of a lake wherever it is. Other Iceberg engines follow the absolute
    locations in the metadata, and would read the original of a copy. Data files are not changed;
    their sizes are compared with the metadata first, and nothing is changed if one is not there.
    Every snapshot can be read afterwards. A lake whose metadata names its own files stays as it is.

    \b
    Examples:
      crypto-lakehouse lake relocate -o data --dry-run
      crypto-lakehouse lake relocate -o data --lake s3://bucket/copy
      crypto-lakehouse lake relocate -o data --lake s3://bucket/copy --from data
    """  # noqa: D301 - click reads \b
    dry_run, catalog = given["dry_run"], given["catalog"]
    if dry_run:
        refuse_beside("--dry-run", "wait")
    if given["source"] is not None:
        refuse_beside("--from", "catalog")
    place = named_place(given)
    from crypto_lakehouse.tables.lake.copied_lake import check_lake, relocate_lake

    if given["source"] is None:
        with by_lake_option(given):
            check_lake(place, catalog)
    with nullcontext() if dry_run else _lock(given, place), by_lake_option(given):
        copied = None if given["source"] is None else _copied(given, place)
        done = [] if copied and dry_run else relocate_lake(place, catalog, dry_run=dry_run)
    here = place.root
    if given["as_json"]:
        tables = {each.table: {"made_in": each.made_in, "files": each.files} for each in done}
        more = {"copied": asdict(copied)} if copied else {}
        click.echo(json_line({"lake": here, "dry_run": dry_run, "tables": tables, **more}))
        return 0
    would = "would be " if dry_run else ""
    if copied and dry_run:
        return 0
    for each in done:
        files = _counted(each.files, "file")
        click.echo(f"{each.table}: {files} {would}written; it named `{visible(each.made_in)}`")
    click.echo(f"{plural(len(done), 'table')} {would}relocated to `{visible(here)}`")
    return 0


def _copied(given: dict[str, Any], place: LakePlace) -> LakeCopy | None:
    """Copy the lake that `--from` names; return what was copied, None if that was done before."""
    from crypto_lakehouse.cli.render import bytes_text
    from crypto_lakehouse.core.errors import ConfigurationError, NoLakeError, Problem
    from crypto_lakehouse.tables.lake.lake_copy import copy_lake

    def told(copy: LakeCopy, verb: str) -> str:
        files, tables = _counted(copy.files, "file"), _counted(copy.tables, "table")
        size = bytes_text(copy.size_bytes)
        return f"{files} {verb} from `{visible(copy.source)}`: {size} of {tables}"

    def tell(copy: LakeCopy) -> None:
        if not given["dry_run"]:
            click.echo(told(copy, "to copy"), err=True)

    try:
        copy = copy_lake(source_place(given), place, tell, dry_run=given["dry_run"])
    except NoLakeError as error:
        raise ConfigurationError([Problem("--from", str(error))]) from error
    if copy and not given["as_json"]:
        click.echo(told(copy, "would be copied" if given["dry_run"] else "copied"))
    return copy


@contextmanager
def _locked(given: dict[str, Any]) -> Iterator[Lake]:
    """Open the lake and take its lock, so that no run writes at the same time."""
    with open_lake(given) as lake, _lock(given, lake.catalog.place):
        lake.catalog.check_writable()
        yield lake


@contextmanager
def _lock(given: dict[str, Any], place: LakePlace) -> Iterator[None]:
    """Take the lock of a lake, so that no run writes at the same time."""
    from crypto_lakehouse.ledger.lock import configured_lock

    LockWait(given["wait"]).before_now(place.lock)
    with configured_lock(place.lock, "--lake" if given["lake"] else "--output"):
        yield


def _named(lake: Lake, given: dict[str, Any]) -> list[str]:
    """The tables that are named, each once; all if none is.

    Raises:
        QueryError: Some do not exist; all of those are named.
    """
    if not given["tables"]:
        return lake.tables
    return [".".join(table.name()) for table in lake.existing(given["tables"])]
