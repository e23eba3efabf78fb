"""Log to standard error, as text or as one JSON object per line."""

from __future__ import annotations

import logging
import sys

import structlog

from crypto_lakehouse.core.redaction import redact

__all__ = ["configure_logging"]


def _redacted(_logger: object, _method: str, fields: structlog.typing.EventDict) -> (
    structlog.typing.EventDict
):  # fmt: skip
    return {name: redact(item) if isinstance(item, str) else item for name, item in fields.items()}


def configure_logging(log_format: str) -> None:
    """Send everything that the package logs to standard error.

    Args:
        log_format: `text` or `json`.
    """
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.stdlib.ExtraAdder(),
            _redacted,
        ],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logger = logging.getLogger("crypto_lakehouse")
    logger.handlers = [handler]
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
