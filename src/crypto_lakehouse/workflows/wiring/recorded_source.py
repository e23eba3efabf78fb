"""Which source to ask again for archives that a ledger names."""

from __future__ import annotations

from pathlib import Path

from crypto_lakehouse.core.config.origins import DEFAULT, OVERRIDE
from crypto_lakehouse.core.config.run_selection import without_credentials
from crypto_lakehouse.core.config.workflow_config import DEFAULT_SOURCE_URL, WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.messages import shown
from crypto_lakehouse.ledger.runs import recorded_runs

__all__ = ["checked_source"]


def checked_source(config: WorkflowConfig, ledger: Path) -> str:
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
        ConfigurationError: The archives came from another source than the default, and the
            configuration names none.
        LedgerError: The ledger cannot be read.
    """
    if config.origins.get("source_url", DEFAULT) != DEFAULT:
        return ""
    sources = [run.source_url for run in recorded_runs(ledger) if run.source_url is not None]
    if not sources:
        return (
            "the ledger does not record the source of the archives; the default one is used, "
            f"{config.source_url}"
        )
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


def _is_default(url: str) -> bool:
    return without_credentials(url).rstrip("/") == DEFAULT_SOURCE_URL
