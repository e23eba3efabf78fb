"""`crypto-lakehouse history`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import click

from crypto_lakehouse.cli.age_option import whole_days_of
from crypto_lakehouse.cli.file_names import named_file
from crypto_lakehouse.cli.json_output import json_line
from crypto_lakehouse.cli.lock_wait import LockWait, output_lock_of, wait_option_with
from crypto_lakehouse.cli.options import option_overrides
from crypto_lakehouse.cli.output_option import checked_config, output_options
from crypto_lakehouse.cli.unused_options import refuse_beside, refuse_without
from crypto_lakehouse.core.config.days import DAY_FORMS, structure_start
from crypto_lakehouse.core.config.origins import naming_origins
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.core.visible import visible

if TYPE_CHECKING:
    from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
    from crypto_lakehouse.ledger.history import Change, Version

__all__ = ["command"]


@click.command(
    "history", short_help="Show what the publisher replaced; write out earlier versions."
)
@click.argument("key", required=False)
@output_options()
@click.option("--since", metavar="DAY", help=f"Every change since this UTC day: {DAY_FORMS}.")
@click.option(
    "--as-of",
    metavar="DATE",
    help="The version in force at the end of a UTC day, or at a time (ISO 8601).",
)
@click.option(
    "--write",
    metavar="FILE",
    callback=named_file,
    help="With --as-of: write its bytes; `-` is stdout.",
)
@click.option("--force", is_flag=True, help="Let --write replace a file.")
@click.option(
    "--prune",
    callback=whole_days_of,
    metavar="DAYS",
    help="Remove the bytes of versions replaced longer ago than this, as 365, 30d or 2w.",
)
@wait_option_with("--prune")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")  # fmt: skip
def command(
    key: str | None,
    output: str,
    storage: str | None,
    state_directory: str | None,
    ledger: str | None,
    ledger_schema: str | None,
    since: str | None,
    as_of: str | None,
    write: str | None,
    prune: int | None,
    wait: float | None,
    *,
    force: bool,
    as_json: bool,
) -> int:
    """Show what the publisher replaced, and write out earlier versions.

    KEY is an object key, or the path or URL of an archive below the output. A version is in force
    from when a run first saw it until other bytes replaced it.

    \b
    Examples:
      crypto-lakehouse history -o data --since 2026-09-01
      crypto-lakehouse history -o data data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-07-15.zip
      crypto-lakehouse history -o data KEY --as-of 2026-08-15 --write old.zip
      crypto-lakehouse history -o data --prune 365d
    """  # noqa: D301 - click reads \b
    _check_usage(key, since, as_of, write, prune)
    overrides = option_overrides(
        {
            "storage": storage,
            "state_directory": state_directory,
            "ledger": ledger,
            "ledger_schema": ledger_schema,
        }
    )
    config = checked_config(output, **overrides)
    if prune is not None:
        return anyio.run(partial(_prune, config, prune, wait, as_json=as_json))
    if since is not None:
        return anyio.run(partial(_since, config, _day(since), as_json=as_json))
    if as_of is not None and key is not None:
        with naming_origins(config):
            return _as_of(config, key, _moment(as_of), write, force=force, as_json=as_json)
    return anyio.run(partial(_versions, config, str(key), as_json=as_json))


def _check_usage(
    key: str | None, since: str | None, as_of: str | None, write: str | None, prune: int | None
) -> None:
    if sum(item is not None for item in (key, since, prune)) != 1:
        raise click.UsageError("give one of KEY, --since DAY and --prune DAYS")
    if as_of is not None and key is None:
        raise click.UsageError("--as-of needs a KEY")
    if write is not None and as_of is None:
        raise click.UsageError("--write needs --as-of DATE")
    if write is None:
        refuse_without("--write FILE", "force")
    else:
        refuse_beside("--write", "as_json")
    if prune is None:
        refuse_without("--prune DAYS", "wait")


def _day(text: str) -> date:
    try:
        return structure_start(text)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _moment(text: str) -> datetime:
    from crypto_lakehouse.workflows.history import parse_moment

    try:
        return parse_moment(text)
    except ValueError:
        hint = "YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS"
        raise click.UsageError(f"`{text}` is neither a day nor a time, {hint}") from None


def _record(item: Version | Change) -> dict[str, Any]:
    from attrs import asdict

    return {name: value for name, value in asdict(item).items() if value not in (None, "")}


async def _versions(config: WorkflowConfig, key: str, *, as_json: bool) -> int:
    from crypto_lakehouse.cli.render import print_table
    from crypto_lakehouse.workflows import run_history

    report = await run_history(config, key)
    versions = report.versions
    _warn(report.notes)
    if as_json:
        records = [_record(version) for version in versions]
        _print_json({"key": versions[0].key, "versions": records})
        return 0
    print_table(
        f"versions of {versions[0].key}",
        ("first seen", "until", "why", "verdict", "size", "SHA-256", "last modified", "bytes"),
        [
            (item.first_seen_at, item.until or "-", item.change or "current", item.verdict,
             "?" if item.size_bytes is None else item.size_bytes, (item.sha256 or "-")[:16],
             item.last_modified or "-", _where(item))
            for item in versions
        ],
        stackable=True,
    )  # fmt: skip
    newest = versions[-1]
    if newest.newer_verdict:
        reason = visible(newest.newer_reason or "")
        click.echo(f"a newer version is {newest.newer_verdict}: {reason}")
    if newest.accepted:
        click.echo("the current version was accepted by policy although its sidecar disagrees")
    return 0


def _where(version: Version) -> str:
    if version.kept_as:
        return version.kept_as
    if version.is_current and version.is_stored:
        return version.key
    return "the same as the next" if version.change == "restamped" else "not kept"


async def _since(config: WorkflowConfig, day: date, *, as_json: bool) -> int:
    from crypto_lakehouse.workflows import run_history

    if as_json:
        report = await run_history(config, since=day)
        changes = report.changes
        _warn(report.notes)
        _print_json({"since": str(day), "changes": [_record(change) for change in changes]})
        return 0
    count = 0

    def show(change: Change) -> None:
        nonlocal count
        count += 1
        line = f"{change.at} {change.change} {change.key} {_difference(change)}"
        click.echo(visible(line))

    _warn((await run_history(config, since=day, on_change=show)).notes)
    click.echo(f"{plural(count, 'change')} since {day}")
    return 0


def _difference(change: Change) -> str:
    if change.change == "restamped":
        return f"{change.before_last_modified} -> {change.after_last_modified}"
    kept = f", kept as {change.kept_as}" if change.kept_as else ", not kept"
    before, after = (change.before_sha256 or "?")[:12], (change.after_sha256 or "?")[:12]
    return f"{change.before_size_bytes} -> {change.after_size_bytes} B, {before} -> {after}{kept}"


def _as_of(
    config: WorkflowConfig,
    key: str,
    moment: datetime,
    write: str | None,
    *,
    force: bool,
    as_json: bool,
) -> int:
    from crypto_lakehouse.stores.output import output_of
    from crypto_lakehouse.workflows.history import bytes_place, restore, version_at

    output = output_of(config)
    if write is not None:
        target = sys.stdout.buffer if write == "-" else Path(write)
        version = restore(output, key, moment, target, overwrite=force)
        _warn(output.ledger_remarks)
        click.echo(f"{version.key} as of {moment.isoformat()}: {version.sha256}", err=True)
        return 0
    version = version_at(output, key, moment)
    place = bytes_place(output, version)
    _warn(output.ledger_remarks)
    if as_json:
        _print_json({**_record(version), "bytes_path": place})
    else:
        seen = f"first seen {version.first_seen_at}"
        click.echo(f"{version.key}\n  {version.sha256}, {seen}\n  {place}")
    return 0


async def _prune(config: WorkflowConfig, days: int, wait: float | None, *, as_json: bool) -> int:
    from crypto_lakehouse.cli.render import bytes_text
    from crypto_lakehouse.workflows import run_prune

    lock_wait = LockWait(wait)
    await lock_wait.before(output_lock_of(config))
    result = await run_prune(config, days, on_held=lock_wait)
    for problem in result.problems:
        click.echo(visible(f"not removed: {problem}"), err=True)
    code = 4 if result.problems else 0
    if as_json:
        problems = {"problems": [*result.problems]} if result.problems else {}
        _print_json({"files": result.files, "bytes": result.size_bytes, **problems})
        return code
    click.echo(
        f"{plural(result.files, 'replaced version')} removed, {bytes_text(result.size_bytes)}"
    )
    return code


def _warn(notes: Sequence[str]) -> None:
    for note in notes:
        click.echo(f"warning: {note}", err=True)


def _print_json(value: dict[str, Any]) -> None:
    click.echo(json_line(value))
