"""Materialises assets of a configuration with Dagster; prints what it found as JSON.

It knows the package and Dagster only.
"""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from crypto_lakehouse.core.errors import ConfigurationError
from crypto_lakehouse.integrations.dagster import lakehouse_assets, lakehouse_checks

DESKS = ("desk-a", "desk-b")
START, END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
BASE = {"source_url": "http://127.0.0.1:9", "timeout_seconds": 5}


def plain(metadata: Any) -> dict[str, Any]:
    return {name: value.value for name, value in metadata.items()}


def told(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """What a Dagster run came to."""
    events = [event.event_type_value for event in result.all_events]
    failed = [event for event in result.all_events if event.is_step_failure]
    return {
        "success": result.success,
        "events": events,
        "steps": events.count("STEP_START"),
        "materialized": [
            [*event.asset_key.path, event.partition]
            for event in result.get_asset_materialization_events()
        ],
        "metadata": [
            plain(event.materialization.metadata)
            for event in result.get_asset_materialization_events()
        ],
        "checks": {
            "/".join(each.asset_key.path): [each.passed, each.severity.value, plain(each.metadata)]
            for each in result.get_asset_check_evaluations()
            if each.check_name != "ingested"
        },
        "ingested": {
            "/".join(each.asset_key.path): [each.passed, plain(each.metadata)]
            for each in result.get_asset_check_evaluations()
            if each.check_name == "ingested"
        },
        "failure": [
            event.step_failure_data.user_failure_data.description
            if event.step_failure_data.user_failure_data
            else event.step_failure_data.error.to_string()
            for event in failed
        ],
    }


def main(path: str) -> None:
    values = json.loads(Path(path).read_text())
    found: dict[str, Any] = {}
    assets = lakehouse_assets(path, ingest=True)
    with dg.DagsterInstance.ephemeral() as instance:

        def materialize(of: Any = assets, **given: Any) -> dict[str, Any]:
            options = {"instance": instance, "raise_on_error": False, **given}
            return told(dg.materialize([of], **options))

        klines = dg.AssetSelection.assets(["spot", "klines"])
        found["day"] = materialize(partition_key="2025-07-15")
        found["again"] = materialize(partition_key="2025-07-15")
        found["one"] = materialize(partition_key="2025-07-17", selection=klines)
        found["corrupt"] = materialize(partition_key="2025-07-16", selection=klines)
        span = {START: "2025-07-12", END: "2025-07-16"}
        found["range"] = materialize(tags=span, selection=klines)
        many = lakehouse_assets({**values, "symbols": sys.argv[2].split(",")}, ingest=True)
        found["many"] = materialize(many, partition_key="2025-07-17", selection=klines)
        both = lakehouse_assets({**values, "partitions": ["daily", "monthly"]})
        found["both"] = materialize(both, partition_key="2025-07-15", selection=klines)
        own = {each: {"output_directory": str(Path(path).with_name(each))} for each in DESKS}
        desks = [lakehouse_assets({**values, "tenants": own}, tenant=each) for each in DESKS]
        given: dict[str, Any] = {"instance": instance, "partition_key": "2025-07-21"}
        found["tenants"] = told(dg.materialize([*desks, assets], selection=[desks[0]], **given))
        found["partitions"] = sorted(
            instance.get_materialized_partitions(dg.AssetKey(["spot", "klines"]))
        )
        today = f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}"
        found["refused"] = materialize(partition_key="2025-07-18", selection=klines)
        unborn = lakehouse_assets({**values, "source_url": sys.argv[3]})
        found["unpublished"] = materialize(unborn, partition_key=today, selection=klines)
        down = lakehouse_assets({**values, **BASE})
        found["down"] = materialize(down, partition_key="2025-07-19", selection=klines)
        checks = lakehouse_checks(path)
        job = dg.define_asset_job("rows", selection=dg.AssetSelection.checks(checks))
        defined = dg.Definitions(assets=[assets], asset_checks=[checks], jobs=[job])
        ran = defined.resolve_job_def("rows").execute_in_process(instance=instance)
        found["rows"] = told(ran)
        for start in ("7d", None):
            try:
                lakehouse_assets({**values, "date_range": {"start": start}})
            except ConfigurationError as error:
                found[f"start {start}"] = str(error)
        found["fail_window_s"] = [
            spec.freshness_policy
            and spec.freshness_policy.fail_window.to_timedelta() // timedelta(seconds=1)
            for spec in assets.specs
        ]
        found["stopped"] = materialize(partition_key="2025-07-20", selection=klines)
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
