"""Dagster assets of a collection; the extra `dagster`.

An asset is all archives of one market and data type, and a partition of it is a UTC day. Whatever
is materialised at once is one step and one run of the library, never one for each archive.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from attrs import frozen

from crypto_lakehouse.core.config.freshness_settings import objective_of
from crypto_lakehouse.core.errors import ExtraMissing
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.integrations.series_groups import (
    GroupKey,
    SeriesGroup,
    SeriesGroups,
    is_key_of,
)
from crypto_lakehouse.integrations.stopping import stopping_in_order
from crypto_lakehouse.integrations.unit_of_work import (
    AnyFile,
    UnitOfWork,
    is_unfinished,
    read_unit,
)
from crypto_lakehouse.workflows.composition import CompositionReport, StepReport
from crypto_lakehouse.workflows.pipelines.running import run_pipeline
from crypto_lakehouse.workflows.wiring.needed_packages import need_tables

if TYPE_CHECKING:
    from dagster import AssetChecksDefinition, AssetKey, AssetsDefinition, FreshnessPolicy

    from crypto_lakehouse.tables.quality.findings import ValidationReport
    from crypto_lakehouse.workflows.lake_report import IngestReport

__all__ = ["lakehouse_assets", "lakehouse_checks"]

#: The names of the checks.
_VERIFIED, _INGESTED, _VALID = "verified", "ingested", "valid_rows"

#: How many keys a check of rows names.
_NAMED = 20

#: The verdicts on an archive's rows with which `validate` ends with another exit code than 0.
_BAD_ROWS = frozenset({"unreadable", "quarantined", "error"})


def lakehouse_assets(
    config: AnyFile,
    *,
    start: date | None = None,
    ingest: bool = False,
    tenant: str | None = None,
    name: str = "crypto_lakehouse",
) -> AssetsDefinition:
    """Make assets of what a configuration selects, one for each market and data type.

    Their partitions are UTC days. The assets and days of a Dagster run are one run of the library,
    as a backfill is. A day of which no archive is stored, because none is published yet or all have
    failed, is not materialised. The check `verified` fails if archives are missing, failed, corrupt
    or not proven, and names the first of them. An asset for which the key `freshness` has an age is
    stale in Dagster, too, if it was not materialised for so long.

    Args:
        config: A mapping of keys, or the path of a JSON, TOML or YAML file.
        start: The first day; by default that of `date_range`, if it stays the same.
        ingest: Whether the archives get into the tables of the configuration, too. Then the check
            `ingested` fails if the tables refuse some, in this run or an earlier one.
        tenant: The tenant of the configuration whose assets they are; by default that of the key
            `tenant`. The keys of its assets begin with its name.
        name: The name of the step, of the group of the assets, and of the pool that may limit how
            many run at the same time. A step and a group of a tenant have its name, too.

    Raises:
        ConfigurationError: The configuration has faults, or no first day that stays the same.
        ExtraMissing: Dagster is not installed, or with `ingest` what tables need.
    """
    _need_dagster()
    if ingest:
        need_tables()
    import dagster as dg

    unit = read_unit(config, start, tenant=tenant)
    step = _step_name(unit, name)
    specs = [
        dg.AssetSpec(
            unit.path(group),
            description=f"The published archives of {group[0]} {group[1]}.",
            group_name=step,
            partitions_def=dg.DailyPartitionsDefinition(str(unit.first_day)),
            freshness_policy=_freshness(unit, group),
            skippable=True,
        )
        for group in unit.rows
    ]

    # Dagster takes no type of a context but its own.
    def materialize(context):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        window = context.partition_time_window
        last = window.end.date() - timedelta(days=1)
        work = _Materialization(context, unit, window.start.date(), last, ingest)
        for groups in unit.runs(_selected(unit, context.selected_asset_keys)):
            yield from work.of(groups)

    made: AssetsDefinition = dg.multi_asset(
        name=step,
        specs=specs,
        check_specs=[
            dg.AssetCheckSpec(check, asset=spec.key)
            for spec in specs
            for check in ([_VERIFIED, _INGESTED] if ingest else [_VERIFIED])
        ],
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=name,
    )(materialize)
    return made


def lakehouse_checks(
    config: AnyFile, *, tenant: str | None = None, name: str = "crypto_lakehouse"
) -> AssetChecksDefinition:
    """Make checks of the rows of the assets of `lakehouse_assets`: all archives are read.

    The check `valid_rows` of an asset fails if archives are unreadable or have errors, as
    `crypto-lakehouse validate` finds them, and names the first of them.

    Args:
        config: As of `lakehouse_assets`.
        tenant: As of `lakehouse_assets`.
        name: Begins the name of the step.

    Raises:
        ConfigurationError: The configuration has faults.
        ExtraMissing: Dagster is not installed, or what tables need.
    """
    _need_dagster()
    need_tables()
    import dagster as dg

    unit = read_unit(config, tenant=tenant, needs_days=False)

    def validate(context):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202 - as above
        keys = {key.asset_key for key in context.selected_asset_check_keys}
        for groups in unit.runs(_selected(unit, keys)):
            report = _run(unit, {"validate": {"with": unit.selection(groups)}})
            _refuse_unfinished(report.steps[0])
            for group in groups:
                yield _valid(unit, group, report.steps[0].report)

    made: AssetChecksDefinition = dg.multi_asset_check(
        name=f"{_step_name(unit, name)}_{_VALID}",
        specs=[dg.AssetCheckSpec(_VALID, asset=unit.path(group)) for group in unit.rows],
        can_subset=True,
    )(validate)
    return made


def _freshness(unit: UnitOfWork, group: GroupKey) -> FreshnessPolicy | None:
    """Dagster's policy for the age that the configuration allows."""
    from dagster import FreshnessPolicy

    seconds = objective_of(unit.config.freshness or {}, *group)
    if seconds is None:
        return None
    return FreshnessPolicy.time_window(fail_window=timedelta(seconds=seconds))


def _selected(unit: UnitOfWork, keys: Iterable[AssetKey]) -> list[GroupKey]:
    paths = {tuple(key.path) for key in keys}
    return [group for group in unit.rows if tuple(unit.path(group)) in paths]


def _step_name(unit: UnitOfWork, name: str) -> str:
    """A name for Dagster, which takes no hyphens in those of steps."""
    tenant = unit.config.tenant
    return name if tenant is None else f"{name}_{tenant.replace('-', '_')}"


@frozen
class _Materialization:
    """Days that are materialised in one step.

    Attributes:
        context: That of Dagster.
        unit: What can be selected.
        first, last: The days.
        ingest: Whether archives get into tables.
    """

    context: Any
    unit: UnitOfWork
    first: date
    last: date
    ingest: bool

    def of(self, groups: Sequence[GroupKey]) -> Iterator[Any]:
        """Collect some groups; yield what Dagster is to know."""
        counts = SeriesGroups(takes_unchanged=not self.unit.has_overlaps)
        report = _run(self.unit, self._steps(groups), counts)
        collected = report.steps[0]
        _refuse_unfinished(collected)
        for group in groups:
            yield from self._materialized(group, counts, report)
            yield from _verified(self.unit, group, counts.groups[group])
            if self.ingest and not is_unfinished(report.steps[-1]):
                yield _ingested(self.unit, group, report.steps[-1].report)
        for step in report.steps:
            _refuse_unfinished(step)
        if collected.report.status == "failed":
            raise _failure(collected, "nothing was collected; the checks say why")

    def _steps(self, groups: Sequence[GroupKey]) -> dict[str, Any]:
        selection = self.unit.selection(groups)
        days = {"start": str(self.first), "end": str(self.last)}
        collect = {**selection, "date_range": days, "default_date": None}
        steps: dict[str, Any] = {"collect": {"with": collect}}
        if self.ingest:
            steps["ingest"] = {"needs": "collect", "with": selection}
        return steps

    def _materialized(
        self, group: GroupKey, counts: SeriesGroups, report: CompositionReport
    ) -> Iterator[Any]:
        from dagster import AssetKey, AssetMaterialization, MaterializeResult

        found, key = counts.groups[group], AssetKey(self.unit.path(group))
        metadata = _metadata(found, counts, report)
        stored, asked = found.stored_days(self.first, self.last), (self.last - self.first).days + 1
        if len(stored) == asked:
            yield MaterializeResult(asset_key=key, metadata=metadata)
            return
        days = plural(asked - len(stored), "day")
        self.context.log.warning(
            f"{key.to_user_string()}: no archive is stored of {days}; not materialised"
        )
        for day in stored:
            self.context.log_event(AssetMaterialization(key, partition=str(day), metadata=metadata))


def _run(unit: UnitOfWork, steps: Mapping[str, Any], *sinks: SeriesGroups) -> CompositionReport:
    work = run_pipeline(unit.pipeline(steps), sinks=lambda _step: sinks)
    return asyncio.run(stopping_in_order(work))


def _metadata(
    found: SeriesGroup, counts: SeriesGroups, report: CompositionReport
) -> dict[str, Any]:
    seconds = sum(step.results.get("duration_seconds", 0) for step in report.steps)
    return {
        **{str(verdict): count for verdict, count in sorted(found.verdicts.items())},
        "bytes": found.received_bytes,
        "seconds": round(seconds, 3),
        "run_id": report.steps[0].report.run_id,
        "plan_sha256": counts.plan_sha256,
    }


def _verified(unit: UnitOfWork, group: GroupKey, found: SeriesGroup) -> Iterator[Any]:
    from dagster import AssetCheckResult, AssetCheckSeverity, AssetKey

    if found.verdicts:  # nothing is said of what is in no plan
        yield AssetCheckResult(
            asset_key=AssetKey(unit.path(group)),
            check_name=_VERIFIED,
            passed=not found.problem_count,
            severity=AssetCheckSeverity.ERROR if found.is_severe else AssetCheckSeverity.WARN,
            metadata={"problems": found.problem_count, "archives": found.problems},
        )


def _ingested(unit: UnitOfWork, group: GroupKey, report: IngestReport) -> Any:
    from dagster import AssetCheckResult, AssetKey

    from crypto_lakehouse.tables.schema.schemas import table_name

    table = f"{group[0]}.{table_name(group[1])}"
    refused = sum(totals.refused for totals in report.tables if totals.table == table)
    named = [each for each in report.problems if is_key_of(group, each["key"])]
    return AssetCheckResult(
        asset_key=AssetKey(unit.path(group)),
        check_name=_INGESTED,
        passed=not (refused or named),
        metadata={
            "problems": max(refused, len(named)),
            "archives": {each["key"]: each["reason"] for each in named[:_NAMED]},
        },
    )


def _valid(unit: UnitOfWork, group: GroupKey, report: ValidationReport) -> Any:
    from dagster import AssetCheckResult, AssetKey

    of_group = [each for each in report.archives if is_key_of(group, each.key)]
    bad = [each for each in of_group if each.verdict in _BAD_ROWS]
    found = {each.key: each.fault or each.findings[0].sentence for each in bad[:_NAMED]}
    return AssetCheckResult(
        asset_key=AssetKey(unit.path(group)),
        check_name=_VALID,
        passed=not bad,
        metadata={
            "archives_read": len(of_group),
            "rows": sum(each.rows for each in of_group),
            "problems": len(bad),
            "archives": found,
        },
    )


def _refuse_unfinished(step: StepReport) -> None:
    if is_unfinished(step):
        raise _failure(step, step.error or f"it ended {step.results.get('status', step.state)}")


def _failure(step: StepReport, reason: str) -> Exception:
    from dagster import Failure

    failure: Exception = Failure(
        description=f"{step.name}: {reason}", metadata={"exit_code": step.exit_code}
    )
    return failure


def _need_dagster() -> None:
    if find_spec("dagster") is None:
        raise ExtraMissing("dagster", "the assets need dagster")
