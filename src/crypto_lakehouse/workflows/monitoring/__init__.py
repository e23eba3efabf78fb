"""What watches a run: metrics and traces, as its configuration says.

- `monitoring` opens, feeds and closes what the configuration names; every workflow has one.
  `opening` says what cannot be opened, and `unavailable` does so beside other faults.
- `textfile` writes the file for node_exporter's textfile collector; it is replaced as a whole.
- `traces` makes the spans of workflows, and sends telemetry to a receiver of OpenTelemetry.
- `of_tenants` keeps the metrics of tenants apart that run at once.
- `listener` answers `/metrics` and `/healthz` over HTTP while the run goes on; `live_page` makes
  the page of an output there, `live_pages` has those of several, and `event_streams` keeps them
  current.
- `shipped` has alerting rules for Prometheus, and a dashboard for Grafana.
- `group_coverage` finds holes, newest day and lag of each group of series in the ledger.

Metrics themselves are made by `sinks.prometheus` and `sinks.otel`. Nothing here can end a run that
has begun.
"""
