"""Make the configurations of all tenants of a file."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from typing import Any

from attrs import evolve, frozen

from crypto_lakehouse.core.config.origins import FileValues
from crypto_lakehouse.core.config.sources import ENVIRONMENT_PREFIX
from crypto_lakehouse.core.config.tenant_places import place_faults
from crypto_lakehouse.core.config.tenants import TENANT, TENANT_NAME, TENANTS, Tenants
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.workflows.lake_config import LakeConfig
from crypto_lakehouse.workflows.tenants.budgets import (
    caps_of_all,
    divided_beforehand,
    source_shares,
)
from crypto_lakehouse.workflows.wiring.load_config import load_config, load_lake_of
from crypto_lakehouse.workflows.wiring.source_shares import SourceShares

__all__ = ["TenantConfig", "load_tenants", "runs_all_tenants"]


@frozen
class TenantConfig:
    """The configurations of a tenant.

    Attributes:
        config: That of its collection.
        lake: That of its ingestion; None if nothing is ingested.
        shares: Its parts in what all tenants may send to a host; None if it shares nothing.
    """

    config: WorkflowConfig
    lake: LakeConfig | None = None
    shares: SourceShares | None = None


def runs_all_tenants(values: Mapping[str, Any] | None, overrides: Mapping[str, Any]) -> bool:
    """Whether a mapping has tenants, and neither it nor a variable nor an option selects one."""
    if values is None or values.get(TENANTS) is None:
        return False
    variable = os.environ.get(f"{ENVIRONMENT_PREFIX}{TENANT.upper()}") or None
    return all(each.get(TENANT) is None for each in (values, overrides)) and variable is None


async def load_tenants(
    values: Mapping[str, Any],
    overrides: Mapping[str, Any] | None = None,
    *,
    ingest: bool = False,
    names: Collection[str] | None = None,
) -> dict[str, TenantConfig]:
    """Make the configurations of tenants; nothing is written, and nothing is requested.

    Args:
        values: The mapping with `tenants`; a parsed file, for messages that name it.
        overrides: Values that take precedence, for each tenant.
        ingest: Whether archives are ingested, too.
        names: The tenants; all by default.

    Raises:
        ConfigurationError: With every fault of every tenant, or because there is none.
    """
    found = Tenants.read(values.get(TENANTS, {}), (), {}).by_name
    if not found:  # says what is wrong with `tenants`
        problems = Tenants.read(values.get(TENANTS) or {}, (), {}).problems
        raise ConfigurationError(problems)
    named = [name for name in found if re.fullmatch(TENANT_NAME, name)]
    # The keys of one whose name is wrong are not read; the others name that fault as well.
    wanted = (named or [*found]) if names is None else [*names]
    made: dict[str, TenantConfig] = {}
    faults: list[Problem] = []
    for name in wanted:
        try:
            made[name] = await _load(name, values, overrides or {}, ingest=ingest)
        except ConfigurationError as error:
            faults += error.problems
    faults += place_faults({name: _places(each) for name, each in made.items()})
    if faults:
        raise ConfigurationError(dict.fromkeys(faults))
    return _divided(made, caps_of_all(values, overrides or {}))


def _divided(tenants: Mapping[str, TenantConfig], base: WorkflowConfig) -> dict[str, TenantConfig]:
    """Divide what the file allows between the tenants."""
    configs = {name: each.config for name, each in tenants.items()}
    configs, shares = divided_beforehand(base, configs), source_shares(base, configs)
    return {
        name: evolve(each, config=configs[name], shares=shares[name])
        for name, each in tenants.items()
    }


async def _load(
    name: str, values: Mapping[str, Any], overrides: Mapping[str, Any], *, ingest: bool
) -> TenantConfig:
    given = FileValues(values) if isinstance(values, FileValues) else dict(values)
    config = await load_config(given, {**overrides, TENANT: name})
    return TenantConfig(config, await load_lake_of(given, config) if ingest else None)


def _places(tenant: TenantConfig) -> dict[str, Any]:
    """Return where a tenant writes to, whatever its values come from."""
    config, lake = tenant.config, tenant.lake
    keys = ("output_directory", "state_directory", "storage", "metrics_textfile")
    places = {key: getattr(config, key) for key in keys}
    return places if lake is None else {**places, "lake": lake.lake, "catalog": lake.catalog}
