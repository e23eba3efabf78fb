"""Divide what a file allows between its tenants: a budget for each host that they fetch from.

The caps of the file hold for all tenants together, those of a tenant for it alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from yarl import URL

from crypto_lakehouse.core.config.origins import DEFAULT
from crypto_lakehouse.core.config.tenants import TENANT, TENANTS
from crypto_lakehouse.core.config.values import AUTO
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.http.fair_slots import FairSlots
from crypto_lakehouse.http.rate_limit import ByteRate, RequestRate
from crypto_lakehouse.http.shared_budget import SharedBudget
from crypto_lakehouse.workflows.wiring.open_files import connections_that_fit
from crypto_lakehouse.workflows.wiring.source_shares import SourceShares
from crypto_lakehouse.workflows.wiring.transport_stack import wanted_parallel
from crypto_lakehouse.workflows.wiring.worker_jobs import process_count

__all__ = ["caps_of_all", "divided_beforehand", "source_shares"]


def caps_of_all(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> WorkflowConfig:
    """Return the configuration of a file without its tenants; only its caps are used."""
    above = {name: value for name, value in overrides.items() if name != TENANT}
    given = {name: value for name, value in values.items() if name not in {TENANT, TENANTS}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # each tenant has the same ones
        return WorkflowConfig(given, overrides=above, validate=False)


def source_shares(
    base: WorkflowConfig, configs: Mapping[str, WorkflowConfig]
) -> dict[str, SourceShares]:
    """Return what each tenant may send to its source and its listing.

    Args:
        base: The configuration of the file without its tenants.
        configs: That of each tenant.
    """
    groups: dict[str, list[WorkflowConfig]] = {}
    for config in configs.values():
        for host in {_host(config.source_url), _listing_host(config)}:
            groups.setdefault(host, []).append(config)
    budgets = {host: _budget(base, group) for host, group in groups.items()}
    return {
        name: SourceShares(
            budgets[_host(config.source_url)].share(name),
            budgets[_listing_host(config)].share(name),
        )
        for name, config in configs.items()
    }


def _budget(base: WorkflowConfig, group: Iterable[WorkflowConfig]) -> SharedBudget:
    parallel = _parallel(base, group)
    byte_rate, request_rate = base.max_bytes_per_second, base.max_requests_per_second
    return SharedBudget(
        FairSlots(connections_that_fit(parallel)),
        ByteRate(byte_rate) if byte_rate else None,
        RequestRate(request_rate) if request_rate else None,
    )


def _parallel(base: WorkflowConfig, group: Iterable[WorkflowConfig]) -> int:
    """Return how many requests may be in flight to a host; a tenant may have asked for more."""
    is_given = base.origins["max_parallel_downloads"] != DEFAULT
    own = wanted_parallel(base)
    return own if is_given else max(own, *map(wanted_parallel, group))


def divided_beforehand(
    base: WorkflowConfig, configs: Mapping[str, WorkflowConfig]
) -> dict[str, WorkflowConfig]:
    """Return configurations whose caps are equal parts, if other processes fetch for a tenant.

    Processes cannot take turns. The tenants of a host have a part each then, whether or not the
    others need theirs.
    """
    groups: dict[str, list[str]] = {}
    for name, config in configs.items():
        groups.setdefault(_host(config.source_url), []).append(name)
    made = dict(configs)
    for names in groups.values():
        if len(names) > 1 and any(_has_workers(configs[name]) for name in names):
            for name in names:
                most = _parallel(base, (configs[each] for each in names))
                made[name] = _part(base, configs[name], most, len(names))
    return made


def _has_workers(config: WorkflowConfig) -> bool:
    return config.executor == "dask" or process_count(config) > 1


def _part(base: WorkflowConfig, config: WorkflowConfig, most: int, parts: int) -> WorkflowConfig:
    changes: dict[str, Any] = {}
    if AUTO not in {base.max_parallel_downloads, config.max_parallel_downloads}:
        changes["max_parallel_downloads"] = min(wanted_parallel(config), max(1, most // parts))
    if base.max_bytes_per_second and config.max_bytes_per_second:
        part = max(1, base.max_bytes_per_second // parts)
        changes["max_bytes_per_second"] = min(config.max_bytes_per_second, part)
    if base.max_requests_per_second and config.max_requests_per_second:
        rate = base.max_requests_per_second / parts
        changes["max_requests_per_second"] = min(config.max_requests_per_second, rate)
    return config.replace(**changes)


def _host(url: str) -> str:
    return URL(url).host_port_subcomponent or ""


def _listing_host(config: WorkflowConfig) -> str:
    return _host(config.listing_url or config.source_url)
