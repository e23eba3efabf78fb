"""Prefect flows of the commands; the extra `prefect`.

A flow is one run of the library, without tasks: one for each archive would overwhelm the server.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from crypto_lakehouse.core.errors import ExtraMissing
from crypto_lakehouse.integrations.stopping import stopping_in_order
from crypto_lakehouse.integrations.unit_of_work import one_step
from crypto_lakehouse.workflows.composition import StepReport
from crypto_lakehouse.workflows.pipelines.running import run_pipeline

if TYPE_CHECKING:
    from prefect import Flow

__all__ = ["collect", "compact", "fill", "ingest", "validate"]

#: The global concurrency limit of flows that ask the source or the exchange.
_LIMIT = "crypto-lakehouse"

_Function = Callable[..., Coroutine[Any, Any, Any]]


def _flow(function: _Function) -> Flow[..., Any]:
    """Make a flow of a function; without Prefect it stays one, and says what is missing."""
    if find_spec("prefect") is None:
        return function
    import prefect

    name = f"crypto-lakehouse-{function.__name__}"
    return prefect.flow(name=name, persist_result=False)(function)


@_flow
async def collect(
    config: str,
    options: dict[str, Any] | None = None,
    limit: str = _LIMIT,
    tenant: str | None = None,
) -> Any:
    """Collect archives, as `crypto-lakehouse collect --config` does.

    Args:
        config: The path of a JSON, TOML or YAML file. It is read where the flow runs.
        options: Keys that have other values in this run. Prefect shows them: no place for secrets.
        limit: The global concurrency limit of which the flow takes a slot; empty for none.
        tenant: The tenant of the configuration whose keys apply; by default that of its key
            `tenant`.

    Returns:
        The report, as `--json` prints it.
    """
    return await _run("collect", config, options, tenant, limit)


@_flow
async def fill(
    config: str,
    options: dict[str, Any] | None = None,
    limit: str = _LIMIT,
    tenant: str | None = None,
) -> Any:
    """Fill from the exchange, as `crypto-lakehouse fill` does; parameters as of `collect`."""
    return await _run("fill", config, options, tenant, limit)


@_flow
async def ingest(
    config: str, options: dict[str, Any] | None = None, tenant: str | None = None
) -> Any:
    """Bring archives into tables, as `crypto-lakehouse ingest` does; parameters as of `collect`."""
    return await _run("ingest", config, options, tenant)


@_flow
async def validate(
    config: str, options: dict[str, Any] | None = None, tenant: str | None = None
) -> Any:
    """Check rows, as `crypto-lakehouse validate` does; parameters as of `collect`."""
    return await _run("validate", config, options, tenant)


@_flow
async def compact(
    config: str, options: dict[str, Any] | None = None, tenant: str | None = None
) -> Any:
    """Merge small files, as `crypto-lakehouse lake compact` does; parameters as of `collect`."""
    return await _run("compact", config, options, tenant)


async def _run(
    kind: str,
    config: str,
    options: Mapping[str, Any] | None,
    tenant: str | None,
    limit: str = "",
) -> Any:
    """Run one step; make an artifact of its report, and a failed state unless it is good."""
    if find_spec("prefect") is None:
        raise ExtraMissing("prefect", "the flows need prefect")
    from prefect.concurrency.asyncio import concurrency
    from prefect.states import Failed

    async with AsyncExitStack() as held:
        if limit:
            await held.enter_async_context(concurrency(limit, occupy=1))
        work = run_pipeline(await one_step(kind, config, options or {}, tenant))
        report = (await stopping_in_order(work)).steps[0]
    await _tell(report)
    if report.state != "done" or report.exit_code:
        reason = report.error or f"it ended {report.results.get('status', report.state)}"
        return Failed(message=f"{kind}: {reason}; exit code {report.exit_code}")
    return report.results


async def _tell(report: StepReport) -> None:
    """Make a table of the totals, and one of what is not as it should be."""
    from prefect.artifacts import acreate_table_artifact

    results = report.results
    facts = {"status": results.get("status", report.state), "exit_code": report.exit_code}
    facts |= {name: results[name] for name in _FACTS if name in results}
    facts |= results.get("totals", results.get("verdicts", {}))
    key = f"crypto-lakehouse-{report.name}"
    rows = [{"name": str(name), "value": value} for name, value in facts.items()]
    await acreate_table_artifact(rows, key=key, description=report.error or None)
    if problems := results.get("problems"):
        await acreate_table_artifact([*problems[:100]], key=f"{key}-problems")


#: Keys of a report that are in its table besides the totals.
_FACTS = ("success_rate", "bytes", "rows", "archives", "lake", "duration_seconds")
