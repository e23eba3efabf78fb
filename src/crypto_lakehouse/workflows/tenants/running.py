"""Collect for all tenants of a configuration in one call."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from os import PathLike
from typing import Any

from crypto_lakehouse.core.workflow import Outcome
from crypto_lakehouse.workflows.tenants.loading import load_tenants
from crypto_lakehouse.workflows.tenants.tenant_runs import (
    TenantRun,
    TenantsReport,
    TenantsWorkflow,
)
from crypto_lakehouse.workflows.wiring.load_config import read_config

__all__ = ["run_tenants"]


async def run_tenants(
    source: Mapping[str, Any] | str | PathLike[str],
    *,
    names: Collection[str] | None = None,
    ingest: bool = False,
    fill: bool = False,
    run_of: Callable[[str], TenantRun] = lambda _name: TenantRun(),
) -> TenantsReport:
    """Collect for the tenants of a configuration, all at once.

    The error of one tenant, such as refused credentials, does not end the run of another.

    Args:
        source: A mapping of keys with `tenants`, or the path of a JSON, TOML or YAML file.
        names: The tenants; all by default.
        ingest: Whether verified archives are ingested, too.
        fill: Whether what the archive lacks is filled before the last ingestion.
        run_of: Returns the sinks and the meter of a tenant's run, by its name.

    Returns:
        The report of each tenant as a step of its name, and the worst exit code.

    Raises:
        ConfigurationError: With every fault of every tenant; nothing was requested or written.
    """
    values = source if isinstance(source, Mapping) else await read_config(source)
    tenants = await load_tenants(values, ingest=ingest, names=names)
    outcome: Outcome = await TenantsWorkflow(tenants, run_of=run_of, fill=fill).run()
    report: TenantsReport = outcome.report
    return report
