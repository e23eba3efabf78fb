"""Which source to ask again for archives that a ledger names."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

from crypto_lakehouse.core.config.origins import DEFAULT, OVERRIDE
from crypto_lakehouse.core.config.run_selection import without_credentials
from crypto_lakehouse.core.config.workflow_config import DEFAULT_SOURCE_URL, WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.messages import shown
from crypto_lakehouse.ledger.place import LedgerPlace
from crypto_lakehouse.ledger.runs import RecordedRun, recorded_runs
from crypto_lakehouse.ledger.sqlite_file import ledger_place

__all__ = ["checked_source"]


def checked_source(config: WorkflowConfig, ledger: LedgerPlace | Path) -> str:
    """Check that archives of an output directory are not requested from a source by accident.

    The default source must not be asked for what came from another one. Nor may the ledger alone
    choose a host: it may be part of a directory that someone else made. So another source than the
    default must be named by the caller.

    Args:
        config: The configuration of the run.
        ledger: The ledger of its output directory.

    Returns:
        A note for the user; empty if there is nothing to say.

    Raises:
        ConfigurationError: The configuration names no source, and the ledger has archives that came
            from another one than the default, or does not say where they came from.
        LedgerError: The ledger cannot be read.
    """
    if config.origins.get("source_url", DEFAULT) != DEFAULT:
        return ""
    runs = recorded_runs(ledger)
    sources = [run.source_url for run in runs if run.source_url is not None]
    if any(run.is_source_lost for run in _after_last_source(runs)):
        raise _unknown_source(config, "is damaged, and no longer says where the archives came from")
    if not sources and _has_archives(ledger):
        reason = "does not say where the archives came from, as that of an earlier version"
        raise _unknown_source(config, reason)
    if not sources:
        return f"there is no record of the source; the default one is used, {config.source_url}"
    latest = sources[-1]
    if _is_default(latest):
        others = {shown(source) for source in sources if not _is_default(source)}
        return (
            f"the archives came from several sources; that of the latest run is used, {latest}, "
            f"and not {', '.join(sorted(others))}"
            if others
            else ""
        )
    reason = (
        f"the archives in `{config.output_directory}` came from `{shown(latest)}`; name the source "
        f"to fetch them from: `--source-url {shown(latest)}` or, for the default one, "
        f"`--source-url {DEFAULT_SOURCE_URL}`"
    )
    raise ConfigurationError([Problem("$.source_url", reason, origin=OVERRIDE)])


def _after_last_source(runs: list[RecordedRun]) -> Iterator[RecordedRun]:
    return takewhile(lambda run: run.source_url is None, reversed(runs))


def _has_archives(ledger: LedgerPlace | Path) -> bool:
    with ledger_place(ledger).reading() as reading:
        return bool(reading.folders())


def _unknown_source(config: WorkflowConfig, fault: str) -> ConfigurationError:
    reason = (
        f"the ledger of `{config.output_directory}` {fault}; name the source to fetch them from "
        f"with `--source-url URL`; the default one is {DEFAULT_SOURCE_URL}"
    )
    return ConfigurationError([Problem("$.source_url", reason, origin=OVERRIDE)])


def _is_default(url: str) -> bool:
    return without_credentials(url).rstrip("/") == DEFAULT_SOURCE_URL
