"""`crypto-lakehouse verify`."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import click

from crypto_lakehouse.cli.failures import message_of, say_failure
from crypto_lakehouse.cli.file_names import named_file
from crypto_lakehouse.cli.json_output import failure_of, json_line
from crypto_lakehouse.cli.lock_wait import LockWait, output_lock_of, wait_option_with
from crypto_lakehouse.cli.monitoring import (
    monitoring_options,
    naming_what_cannot_be_opened,
    say_where,
)
from crypto_lakehouse.cli.options import option_overrides
from crypto_lakehouse.cli.output_option import MIRROR, checked_config, output_options
from crypto_lakehouse.cli.unused_options import refuse_without
from crypto_lakehouse.core.config.days import DAY_FORMS, structure_start
from crypto_lakehouse.core.errors import LakehouseError
from crypto_lakehouse.core.messages import agreeing, counted_with_folders
from crypto_lakehouse.core.visible import visible

if TYPE_CHECKING:
    from crypto_lakehouse.cli.verify_output import Outputs
    from crypto_lakehouse.collection.verifier import VerificationReport
    from crypto_lakehouse.core.archive import Archive
    from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
    from crypto_lakehouse.core.events import Event
    from crypto_lakehouse.core.kept import Quarantined
    from crypto_lakehouse.core.sink import AnySink, SinkFunction
    from crypto_lakehouse.workflows.repair import RepairReport

__all__ = ["command"]

#: How many quarantined archives `--json` lists.
LISTED = 100

#: The parameters that say where archives and ledger are, who reads them, and where metrics are.
_OF_STORE = (
    "executor", "dask_scheduler", "shared_directory", "storage", "state_directory", "ledger",
    "ledger_schema", "serve", "metrics_textfile", "otlp_endpoint",
)  # fmt: skip

#: The parameters that only a repair uses.
_OF_REPAIR = (
    "config_file", "tenant", "source_url", "second_source_url", "proxy", "ca_bundle",
    "max_parallel_downloads", "max_retries", "timeout_seconds", "integrity",
    "accept_upstream_mismatch", "wait",
)  # fmt: skip


@click.command("verify", short_help="Hash stored archives and compare them with their sidecars.")
@output_options(text=MIRROR)
@click.option("--sample", metavar="N", help="Only a part: a share as 5%, or a number as 1000.")
@click.option(
    "--seed", metavar="TEXT", help="With --sample: which part; the same seed takes the same one."
)
@click.option(
    "--since", metavar="DAY", help=f"Only files written on this UTC day or later: {DAY_FORMS}."
)
@click.option(
    "--combined",
    callback=named_file,
    metavar="FILE",
    help="A line for each: = good, * damaged, + gone, - unproven, ! unreadable.",
)
@click.option(
    "--sums",
    metavar="FILE",
    callback=named_file,
    help="Write the digests of good files as SHA256SUMS.",
)
@click.option(
    "--repair", is_flag=True, help="Fetch again what is damaged, misrecorded or quarantined."
)
@click.option(
    "--config",
    "config_file",
    type=click.Path(),
    callback=named_file,
    metavar="FILE",
    help="With --repair: the configuration file; it names the source.",
)
@click.option("--tenant", metavar="NAME", help="With --repair: the tenant of that file.")
@click.option("--source-url", metavar="URL", help="With --repair: the URL of the source.")
@click.option("--second-source-url", metavar="URL", help="With --repair: the second source.")
@click.option("--proxy", metavar="URL", help="With --repair: environment, none, or a URL.")
@click.option(
    "--ca-bundle", metavar="FILE", help="With --repair: trust these certificate authorities only."
)
@click.option(
    "-j",
    "--max-parallel-downloads",
    metavar="N",
    help="With --repair: parallel downloads, 1 to 256.",
)
@click.option("--max-retries", metavar="N", help="With --repair: retries, 0 to 20.")
@click.option("--timeout-seconds", metavar="SECONDS", help="With --repair: the idle timeout.")
@click.option("--integrity", metavar="HOW", help="With --repair: sidecar, listing or both.")
@click.option(
    "--accept-upstream-mismatch",
    is_flag=True,
    default=None,
    help="With --repair: accept zips that disagree with their sidecars.",
)
@click.option(
    "--executor",
    type=click.Choice(["processes", "dask"]),
    help="Who reads and hashes: this process, or workers of a Dask cluster.",
)
@click.option(
    "--dask-scheduler",
    metavar="ADDRESS",
    help="The cluster's scheduler. [default: a cluster on this machine]",
)
@click.option(
    "--shared-directory",
    is_flag=True,
    default=None,
    help="The cluster's workers mount the same directory.",
)
@monitoring_options
@wait_option_with("--repair")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.option("--quiet", "-q", is_flag=True, help="No progress; only problems and the result.")
def command(**given: Any) -> int:  # fmt: skip
    """Hash stored archives and compare them with their sidecars, or with the ledger.

    Segments of fills and recordings are hashed, too. Objects are read from their store to be
    hashed; --sample reads a part of them. Nothing is changed without --repair. Exit code 4:
    some are damaged or cannot be read, or misrecorded: the ledger has another digest or size of
    them; 3: some that were verified are gone; 5: the source of --repair is unavailable. If the
    archives came from another source than the default, --repair requires --source-url, or a
    configuration that names the source.

    \b
    Examples:
      crypto-lakehouse verify -o data
      crypto-lakehouse verify -o data --sample 5% --combined -
      crypto-lakehouse verify -o data --sums SHA256SUMS && (cd data; sha256sum -c ../SHA256SUMS)
      crypto-lakehouse verify -o data --since 2026-09-01 --repair
      crypto-lakehouse verify -o s3://bucket/prefix --sample 1000
    """  # noqa: D301 - click reads \b
    if not given["repair"]:
        refuse_without("--repair", *_OF_REPAIR)
    if given["sample"] is None:
        refuse_without("--sample N", "seed")
    return anyio.run(partial(_verify, given))


@naming_what_cannot_be_opened
async def _verify(given: dict[str, Any]) -> int:
    from crypto_lakehouse.cli.verify_output import Outputs
    from crypto_lakehouse.stores.output import output_of
    from crypto_lakehouse.workflows import Monitoring, run_verification

    sample, seed = _sample(given["sample"], given["seed"])
    since = _since(given["since"])
    if given["combined"] == "-" and given["as_json"]:
        raise click.UsageError("--combined - and --json both write to standard output; choose one")
    repair_config = await _repair_config(given) if given["repair"] else None
    overrides = option_overrides({name: given[name] for name in _OF_STORE})
    config = checked_config(given["output"], **overrides)
    store = output_of(config).store
    monitoring = Monitoring.of(config)
    monitoring.say = say_where(config, quiet=given["quiet"])
    is_part = bool(sample or since)
    with Outputs(
        given["combined"], given["sums"], is_part=is_part, quiet=given["quiet"]
    ) as outputs:
        report = await run_verification(
            config, sample=sample, seed=seed, since=since, on_archive=outputs.write,
            monitoring=monitoring,
        )  # fmt: skip
        outputs.finish()
    wanted = [*outputs.damaged, *(item.archive for item in store.quarantined())]
    repair = None
    try:
        if repair_config is not None and wanted:
            repair = await _repair(repair_config, given, wanted)
    except LakehouseError as error:  # what was found is printed nevertheless
        failure = failure_of(message_of(error), error.exit_code)
        _print(report, list(store.quarantined()), None, {**given, "repair": False}, failure)
        return say_failure(error)[0]
    _print(report, list(store.quarantined()), repair, given)
    return _exit_code(report, repair, outputs)


def _sample(text: str | None, seed: str | None) -> tuple[str | None, str]:
    """Check the sample and choose a seed; it is printed so that the sample can be repeated."""
    from crypto_lakehouse.collection.sampling import Sample

    chosen = seed or secrets.token_hex(4)
    if text is not None:
        try:
            Sample.parse(text, chosen)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        click.echo(f"sample {text}, --seed {chosen}", err=True)
    return text, chosen


def _since(text: str | None) -> date | None:
    try:
        return None if text is None else structure_start(text)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


async def _repair_config(given: dict[str, Any]) -> WorkflowConfig:
    """Read the configuration of a repair; a wrong option is refused before anything is hashed."""
    from crypto_lakehouse.workflows.wiring.load_config import load_config

    # The metrics of this command are those of the verification.
    own = {"output", "serve", "metrics_textfile", "otlp_endpoint"}
    overrides = option_overrides({name: given[name] for name in given if name not in own})
    overrides |= {"output_directory": given["output"], "only": "quarantined"}
    return await load_config(given["config_file"], overrides)


async def _repair(
    config: WorkflowConfig, given: dict[str, Any], wanted: list[Archive]
) -> RepairReport:
    from crypto_lakehouse.cli.progress import collection_sink, terminal_rows
    from crypto_lakehouse.core.metrics import ByteMeter
    from crypto_lakehouse.workflows import run_repair

    quiet = given["quiet"]
    wait = LockWait(given["wait"])
    await wait.before(output_lock_of(config))
    meter = ByteMeter()
    sink = collection_sink(meter, terminal_rows(quiet=quiet), quiet=quiet)
    sinks: list[AnySink] = [sink] if quiet else [_announcing(len(set(wanted))), sink]
    return await run_repair(config, wanted, sinks=sinks, meter=meter, on_held=wait)


def _announcing(count: int) -> SinkFunction:
    """Return a sink that says how many archives are fetched again, once a repair is not refused."""
    from crypto_lakehouse.core.events import RunStarted

    def announce(events: Sequence[Event]) -> None:
        if any(isinstance(event, RunStarted) for event in events):
            text = agreeing(count, f"{count} archive[s] [is|are] fetched again")
            click.echo(text, err=True)

    return announce


def _exit_code(report: VerificationReport, repair: RepairReport | None, outputs: Outputs) -> int:
    """The exit code of the worst state that is left or, without a repair, that was found."""
    if repair is None:
        return report.exit_code
    from crypto_lakehouse.collection.verifier import FileState

    if outputs.has_foreign_damage and repair.collection.stop_code is None:
        return 4
    return repair.exit_code or (3 if report.totals[FileState.MISSING] else 0)


def _mapping(report: VerificationReport, quarantine: list[Quarantined]) -> dict[str, Any]:
    mapping = report.to_mapping()
    mapping["quarantine"] = {
        "count": len(quarantine),
        "archives": [
            {"key": item.archive.key, "reason": item.reason} for item in quarantine[:LISTED]
        ],
    }
    return mapping


def _print(
    report: VerificationReport,
    quarantine: list[Quarantined],
    repair: RepairReport | None,
    given: Mapping[str, Any],
    failure: Mapping[str, Any] | None = None,
) -> None:
    from crypto_lakehouse.collection.verifier import FileState

    for note in report.notes:
        click.echo(f"warning: {note}", err=True)
    if given["repair"] and (missing := report.totals[FileState.MISSING]):
        count = agreeing(missing, f"{missing} missing archive[s] [is|are]")
        click.echo(f"{count} not fetched by --repair; run `collect`", err=True)
    if given["as_json"]:
        mapping = {**(failure or {}), **_mapping(report, quarantine)}
        if given["repair"]:
            mapping["repair"] = repair.to_mapping() if repair else {"repaired": [], "remaining": []}
        click.echo(json_line(mapping))
    else:
        _print_text(report, quarantine, repair, to_stderr=given["combined"] == "-")


def _print_text(
    report: VerificationReport,
    quarantine: list[Quarantined],
    repair: RepairReport | None,
    *,
    to_stderr: bool,
) -> None:
    from crypto_lakehouse.collection.verifier import FileState

    say = partial(click.echo, err=to_stderr)
    shown = [state for state in FileState if state != "misrecorded" or report.totals[state]]
    counts = ", ".join(f"{report.totals[state]} {state}" for state in shown)
    checked = counted_with_folders(report.totals.total() - report.folders, report.folders)
    say(f"{checked} checked: {counts}")
    if quarantine:
        say(f"{len(quarantine)} in quarantine, as {quarantine[0].archive.key}")
    if repair is not None:
        say(f"{len(repair.repaired)} repaired, {len(repair.remaining)} not")
        for item in repair.remaining:
            click.echo(visible(f"not repaired: {item.key}: {item.reason}"), err=True)
        if repair.collection.error:
            click.echo(f"error: {repair.collection.error}", err=True)
    sys.stdout.flush()
