"""Metrics and traces for OpenTelemetry; needs the extra `otel`.

- `telemetry` is what watches runs: for the providers of an application, or for those of `otlp`.
- `instruments` gives what a sink has counted to a meter, and `spans` makes the spans of a run.
- `otlp` sends both to a receiver, in threads of its own, and gives up in time.
- `endpoints` finds where that is, and refuses what would show a secret.

Only `instruments`, `otlp` and `exporters` import OpenTelemetry at their head, and each of them is
imported on first use.
"""
