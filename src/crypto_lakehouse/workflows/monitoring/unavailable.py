"""What a run could not open, to be named beside the faults of its configuration."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from os import PathLike
from typing import Any

from crypto_lakehouse.core.config.pipelines import PIPELINES
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import LakehouseError, Problem
from crypto_lakehouse.workflows.monitoring.monitoring import Monitoring
from crypto_lakehouse.workflows.wiring.load_config import read_config

__all__ = ["unavailable"]


async def unavailable(
    file: str | PathLike[str] | None, overrides: Mapping[str, Any]
) -> list[Problem]:
    """Find what a faulty configuration names that cannot be opened; nothing stays open.

    Use it where a run was about to begin: the port of one that goes on is in use.

    Args:
        file: The configuration file; None for none.
        overrides: Values of `serve`, `metrics_textfile` and `otlp_endpoint` that take precedence.

    Returns:
        A port that cannot be listened on, a file of metrics that cannot be written, and variables
        of OpenTelemetry that do not say where to send; what is no such value at all is a fault of
        the configuration, and not named here.
    """
    try:
        values = {} if file is None else dict(await read_config(file))
        values.pop(PIPELINES, None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they were given where its faults were found
            config = WorkflowConfig(values, overrides=overrides, validate=False)
        return await Monitoring.of(config).problems()
    except LakehouseError:
        return []
