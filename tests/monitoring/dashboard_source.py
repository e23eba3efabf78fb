"""The Grafana dashboard as code.

`python -m tests.monitoring.dashboard_source` writes the file that is shipped.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from attrs import frozen
from grafana_foundation_sdk.builders import dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DataSourceRef

__all__ = ["SHIPPED_AT", "dashboard_json", "expressions"]

SHIPPED_AT = Path(__file__).parents[2] / "src/crypto_lakehouse/workflows/monitoring/dashboard.json"

#: What Grafana asks for when the file is imported.
_INPUT = "DS_PROMETHEUS"
_SOURCE = DataSourceRef(type_val="prometheus", uid=f"${{{_INPUT}}}")

_RATE = "[$__rate_interval]"
_COLUMNS, _WIDTH, _HEIGHT = 24, 8, 8


@frozen
class Graph:
    """A panel: its title, the unit of its values, and an expression for each legend."""

    title: str
    unit: str
    expressions: dict[str, str]


ROWS: dict[str, list[Graph]] = {
    "Freshness": [
        Graph("Age of the newest verified day", "s", {
            "{{market}} {{data_type}}":
                "time() - max by (market, data_type) (newest_verified_timestamp_seconds)",
            "{{market}} {{data_type}} may be":
                "max by (market, data_type) (freshness_objective_seconds)",
        }),
        Graph("Lag behind the source", "s", {
            "{{market}} {{data_type}}": "max by (market, data_type) (source_lag_seconds)",
        }),
        Graph("Days that are not verified", "short", {
            "{{cause}}": "sum by (cause) (holes)",
        }),
    ],
    "Runs": [
        Graph("Since the last complete run", "s", {
            "{{workflow}}": "time() - max by (workflow) (run_last_success_timestamp_seconds)",
        }),
        Graph("Runs that have ended", "short", {
            "{{workflow}} {{status}}":
                f"sum by (workflow, status) (increase(runs_total{_RATE}))",
        }),
        Graph("Since a daemon was seen", "s", {
            "{{instance}}": "time() - max by (instance) (daemon_alive_timestamp_seconds)",
        }),
        Graph("Verdicts on archives", "short", {
            "{{verdict}}": f"sum by (verdict) (increase(archives_total{_RATE}))",
        }),
        Graph("Received", "Bps", {"bytes": f"sum(rate(received_bytes_total{_RATE}))"}),
        Graph("Warnings and files that are damaged", "short", {
            "warnings": f"sum(increase(warnings_total{_RATE}))",
            "files {{state}}": "sum by (state) (checked_files_total)",
        }),
    ],
    "Requests": [
        Graph("Requests", "reqps", {
            "{{code}}": f"sum by (code) (rate(requests_total{_RATE}))",
        }),
        Graph("Time until the head of a response", "s", {
            f"p{share}": f"histogram_quantile(0.{share}, "
                         f"sum by (le) (rate(request_seconds_bucket{_RATE})))"
            for share in (50, 95)
        }),
        Graph("Time for an archive, p95", "s", {
            "{{market}}": "histogram_quantile(0.95, "
                          f"sum by (market, le) (rate(archive_seconds_bucket{_RATE})))",
        }),
        Graph("Requests that were made again", "short", {
            "{{kind}}": f"sum by (kind) (increase(retries_total{_RATE}))",
        }),
        Graph("Requests at the same time", "short", {"limit": "sum(parallel_requests)"}),
        Graph("Fills", "short", {
            "{{verdict}}": f"sum by (verdict) (increase(fills_total{_RATE}))",
            "weight": f"sum(increase(fill_weight_total{_RATE}))",
        }),
    ],
    "Tables": [
        Graph("Rows", "short", {"{{table}}": f"sum by (table) (increase(lake_rows_total{_RATE}))"}),
        Graph("Commits", "short", {
            "{{table}}": f"sum by (table) (increase(lake_commits_total{_RATE}))",
        }),
        Graph("Archives", "short", {
            "{{state}}": f"sum by (state) (increase(ingested_archives_total{_RATE}))",
        }),
    ],
    "Recordings": [
        Graph("Messages", "cps", {"messages": f"sum(rate(live_messages_total{_RATE}))"}),
        Graph("Gaps and new connections", "short", {
            "gaps": f"sum(increase(live_gaps_total{_RATE}))",
            "new connections": f"sum(increase(live_reconnects_total{_RATE}))",
        }),
        Graph("Lag behind the exchange", "s", {"lag": "max(live_lag_seconds)"}),
        Graph("Share of the archive's rows that were recorded", "percentunit", {
            "{{table}}": "sum by (table) (recorded_rows_total)"
                         " / (sum by (table) (scored_rows_total) > 0)",
        }),
    ],
}  # fmt: skip

#: One of the project's metrics in an expression, without the prefix of all names.
_NAME = re.compile(r"\b[a-z_]+_(?:seconds|total|bucket|requests)\b|\bholes\b")


def _full(expression: str) -> str:
    return _NAME.sub(lambda found: f"crypto_lakehouse_{found[0]}", expression)


def expressions(panels: list[dict[str, Any]]) -> list[str]:
    """The expressions of all panels of a dashboard."""
    return [each["expr"] for panel in panels for each in panel.get("targets", [])]


def dashboard_json() -> str:
    """Return the dashboard, as it is shipped."""
    made = (
        dashboard.Dashboard("Crypto lakehouse")
        .uid("crypto-lakehouse")
        .tags(["crypto-lakehouse"])
        .refresh("1m")
        .time("now-24h", "now")
        .timezone("utc")
        .readonly()
    )
    for title, graphs in ROWS.items():
        made = made.with_row(dashboard.Row(title))
        for graph in graphs:
            made = made.with_panel(_panel(graph))
    plain = json.loads(JSONEncoder(sort_keys=True).encode(made.build()))
    for number, panel in enumerate(plain["panels"], 1):
        panel["id"] = number
    plain["__inputs"] = [
        {
            "name": _INPUT,
            "label": "Prometheus",
            "description": "",
            "type": "datasource",
            "pluginId": "prometheus",
            "pluginName": "Prometheus",
        }
    ]
    return json.dumps(plain, indent=2, sort_keys=True) + "\n"


def _panel(graph: Graph) -> timeseries.Panel:
    panel = (
        timeseries.Panel()
        .title(graph.title)
        .unit(graph.unit)
        .min(0)
        .datasource(_SOURCE)
        .span(_WIDTH)
        .height(_HEIGHT)
    )
    for number, (legend, expression) in enumerate(graph.expressions.items()):
        panel = panel.with_target(
            prometheus.Dataquery()
            .expr(_full(expression))
            .legend_format(legend)
            .ref_id(chr(ord("A") + number))
            .datasource(_SOURCE)
        )
    return panel


if __name__ == "__main__":
    SHIPPED_AT.write_text(dashboard_json(), encoding="utf-8")
