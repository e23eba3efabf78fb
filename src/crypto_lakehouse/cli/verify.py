"""`crypto-lakehouse verify`."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Sequence
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import click
from attrs import frozen

from crypto_lakehouse.cli.json_output import json_line
from crypto_lakehouse.cli.lock_wait import output_lock_of, wait_for_lock, wait_option
from crypto_lakehouse.cli.options import option_overrides, stored_config
from crypto_lakehouse.cli.output_option import MIRROR, check_directory, output_option
from crypto_lakehouse.core.config.days import DAY_FORMS, structure_start
from crypto_lakehouse.core.errors import ConfigurationError
from crypto_lakehouse.core.messages import agreeing, plural

if TYPE_CHECKING:
    from crypto_lakehouse.cli.verify_output import Outputs
    from crypto_lakehouse.collection.verifier import VerificationReport
    from crypto_lakehouse.core.archive import Archive
    from crypto_lakehouse.core.events import Event
    from crypto_lakehouse.core.kept import Quarantined
    from crypto_lakehouse.workflows.repair import RepairReport

__all__ = ["command"]

#: How many quarantined archives `--json` lists.
LISTED = 100


@click.command("verify", short_help="Hash stored archives and compare them with their sidecars.")
@output_option(text=MIRROR)
@click.option("--sample", metavar="N", help="Only a part: a share as 5%, or a number as 1000.")
@click.option("--seed", metavar="TEXT", help="Which part; the same seed takes the same one.")
@click.option(
    "--since", metavar="DAY", help=f"Only files written on this UTC day or later: {DAY_FORMS}."
)
@click.option(
    "--combined",
    metavar="FILE",
    help="A line for each: = good, * damaged, + gone, - unproven, ! unreadable.",
)
@click.option("--sums", metavar="FILE", help="Write the digests of good files as SHA256SUMS.")
@click.option("--repair", is_flag=True, help="Fetch again what is damaged or quarantined.")
@click.option(
    "--config",
    "config_file",
    type=click.Path(),
    metavar="FILE",
    help="With --repair: the configuration file; it names the source.",
)
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
@wait_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.option("--quiet", "-q", is_flag=True, help="No progress; only problems and the result.")
def command(**given: Any) -> int:  # fmt: skip
    """Hash stored archives and compare them with their sidecars, or with the ledger.

    Nothing is changed without --repair. Exit code 4: some are damaged or cannot be read; 3: some
    that were verified are gone. If the archives came from another source than the default, --repair
    requires --source-url, or a configuration that names the source.

    \b
    Examples:
      crypto-lakehouse verify -o data
      crypto-lakehouse verify -o data --sample 5% --combined -
      crypto-lakehouse verify -o data --sums SHA256SUMS && (cd data; sha256sum -c ../SHA256SUMS)
      crypto-lakehouse verify -o data --since 2026-09-01 --repair
    """  # noqa: D301 - click reads \b
    return anyio.run(partial(_verify, given))


async def _verify(given: dict[str, Any]) -> int:
    from crypto_lakehouse.cli.verify_output import Outputs
    from crypto_lakehouse.stores import LocalStore
    from crypto_lakehouse.workflows import run_verification

    sample, seed = _sample(given["sample"], given["seed"])
    since = _since(given["since"])
    if given["combined"] == "-" and given["as_json"]:
        raise click.UsageError("--combined - and --json both write to standard output; choose one")
    check_directory(given["output"])
    config, store = stored_config(given["output"]), LocalStore(given["output"])
    is_part = bool(sample or since)
    with Outputs(
        given["combined"], given["sums"], is_part=is_part, quiet=given["quiet"]
    ) as outputs:
        report = await run_verification(
            config, sample=sample, seed=seed, since=since, on_archive=outputs.write
        )
        outputs.finish()
    wanted = [*outputs.damaged, *(item.archive for item in store.quarantined())]
    repair = refusal = None
    try:
        if given["repair"] and wanted:
            repair = await _repair(given, wanted)
    except ConfigurationError as error:
        refusal = error
    quarantine = list(store.quarantined())
    if given["as_json"]:
        mapping = _mapping(report, quarantine)
        if given["repair"] and refusal is None:
            mapping["repair"] = repair.to_mapping() if repair else {"repaired": [], "remaining": []}
        click.echo(json_line(mapping))
    else:
        _print(report, quarantine, repair, to_stderr=given["combined"] == "-")
    if refusal is not None:  # what was found is printed nevertheless
        raise refusal
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


async def _repair(given: dict[str, Any], wanted: list[Archive]) -> RepairReport:
    from crypto_lakehouse.cli.progress import collection_sink, terminal_rows
    from crypto_lakehouse.core.metrics import ByteMeter
    from crypto_lakehouse.workflows import run_repair
    from crypto_lakehouse.workflows.wiring.load_config import load_config

    quiet = given["quiet"]
    overrides = option_overrides({name: given[name] for name in given if name != "output"})
    overrides |= {"output_directory": given["output"], "only": "quarantined"}
    config = await load_config(given["config_file"], overrides)
    await wait_for_lock(output_lock_of(config), given["wait"])
    meter = ByteMeter()
    sink = collection_sink(meter, terminal_rows(quiet=quiet), quiet=quiet)
    sinks = [sink] if quiet else [_Announcement(len(set(wanted))), sink]
    return await run_repair(config, wanted, sinks=sinks, meter=meter)


@frozen
class _Announcement:
    """A sink that says how many archives are fetched again, once a repair is not refused."""

    count: int
    name: str = "announcement"
    required: bool = False

    async def handle(self, events: Sequence[Event]) -> None:
        from crypto_lakehouse.core.events import RunStarted

        if any(isinstance(event, RunStarted) for event in events):
            text = agreeing(self.count, f"{self.count} archive[s] [is|are] fetched again")
            click.echo(text, err=True)

    async def flush(self) -> None:
        """Do nothing: the sentence is printed at once."""

    async def close(self) -> None:
        """Do nothing: nothing is open."""


def _exit_code(report: VerificationReport, repair: RepairReport | None, outputs: Outputs) -> int:
    """The exit code of the worst state that is left or, without a repair, that was found."""
    if repair is None:
        return report.exit_code
    from crypto_lakehouse.collection.verifier import FileState

    if outputs.has_foreign_damage:
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
    *,
    to_stderr: bool,
) -> None:
    from crypto_lakehouse.collection.verifier import FileState

    say = partial(click.echo, err=to_stderr)
    counts = ", ".join(f"{report.totals[state]} {state}" for state in FileState)
    say(f"{plural(report.totals.total(), 'archive')} checked: {counts}")
    if quarantine:
        say(f"{len(quarantine)} in quarantine, as {quarantine[0].archive.key}")
    if repair is not None:
        say(f"{len(repair.repaired)} repaired, {len(repair.remaining)} not")
        for item in repair.remaining:
            click.echo(f"not repaired: {item.key}: {item.reason}", err=True)
    sys.stdout.flush()
