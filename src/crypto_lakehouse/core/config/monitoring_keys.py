"""The keys of `WorkflowConfig` that say how a run is watched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from crypto_lakehouse.core.config.keys import About, key
from crypto_lakehouse.core.config.transfer_keys import TransferKeys
from crypto_lakehouse.core.config.values import Freshness, Serve

__all__ = ["IN_TEXTFILE", "SENT", "SERVED", "MonitoringKeys"]

#: Of the key `serve`, here and in `LakeConfig`.
SERVED = About(
    "Where metrics and a page are served while the run goes on, as PORT or ADDRESS:PORT.",
    more="This machine alone can read them unless an address is named, and port 0 is any "
    "that is free. See [monitoring](monitoring.md).",
    unset="nowhere",
    metavar="[ADDRESS:]PORT",
    since="0.2.0",
)

#: Of the key `metrics_textfile`, here and in `LakeConfig`.
IN_TEXTFILE = About(
    "A file for the metrics, NAME.prom, as node_exporter's textfile collector reads it.",
    more="It is written during the run and at its end; see [monitoring](monitoring.md).",
    form="path",
    metavar="FILE",
    since="0.2.0",
)

#: Of the key `otlp_endpoint`, here and in `LakeConfig`.
SENT = About(
    "The receiver of OpenTelemetry to which metrics and traces are sent, as its OTLP/HTTP URL.",
    more="`environment` takes it from the variables of OpenTelemetry; see "
    "[monitoring](monitoring.md).",
    form="URL",
    unset="nowhere",
    metavar="URL",
    since="0.2.0",
)


@frozen(init=False, kw_only=True)
class MonitoringKeys(TransferKeys):
    """Where the metrics and traces of a run are, for Prometheus and OpenTelemetry."""

    serve: Mapping[str, Any] | None = key(
        Serve,
        None,
        about=SERVED,
    )
    metrics_textfile: str | None = key(
        str,
        None,
        about=IN_TEXTFILE,
    )
    freshness: Mapping[str, float] | None = key(
        Freshness,
        None,
        about=About(
            'How old the newest verified day may be, such as {"futures_um/klines": "36h"}.',
            more="Keys are `market/data_type`, `market/*`, `*/data_type` or `*`, and the first of "
            "these that fits counts. `status --strict` checks it, metrics show it, and alerts are "
            "about it; see [monitoring](monitoring.md).",
            unset="any age",
            metavar="JSON",
            since="0.2.0",
        ),
    )
    metrics_by_symbol: bool = key(
        bool,
        False,
        about=About(
            "Give the metrics of holes, lag and the newest day for each series.",
            more="Each series is a time series of Prometheus then.",
            since="0.2.0",
        ),
    )
    otlp_endpoint: str | None = key(
        str,
        None,
        about=SENT,
    )
