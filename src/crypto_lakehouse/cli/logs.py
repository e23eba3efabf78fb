"""Log to standard error, as text or as one JSON object per line."""

from __future__ import annotations

import io
import logging
import sys
from typing import TYPE_CHECKING, TextIO

import structlog

from crypto_lakehouse.cli.streams import LoggedStream
from crypto_lakehouse.core.redaction import redact
from crypto_lakehouse.core.run_context import TENANT_OF_RUN
from crypto_lakehouse.core.visible import json_text, visible, visible_lines

if TYPE_CHECKING:
    from crypto_lakehouse.sinks.progress_rows import ProgressRows

__all__ = ["configure_logging"]


def _redacted(_logger: object, _method: str, fields: structlog.typing.EventDict) -> (
    structlog.typing.EventDict
):  # fmt: skip
    return {name: redact(item) if isinstance(item, str) else item for name, item in fields.items()}


def _visible(_logger: object, _method: str, fields: structlog.typing.EventDict) -> (
    structlog.typing.EventDict
):  # fmt: skip
    return {name: visible(item) if isinstance(item, str) else item for name, item in fields.items()}


def _of_tenant(_logger: object, _method: str, fields: structlog.typing.EventDict) -> (
    structlog.typing.EventDict
):  # fmt: skip
    tenant = TENANT_OF_RUN.get()
    return {**fields, "tenant": tenant} if tenant else fields


def _traceback(stream: TextIO, found: structlog.typing.ExcInfo) -> None:
    text = io.StringIO()
    structlog.dev.plain_traceback(text, found)
    stream.write(visible_lines(text.getvalue()))


class _AboveRows(logging.Handler):
    """Writes messages above the rows of progress, which would be torn by another writer."""

    def __init__(self, rows: ProgressRows) -> None:
        super().__init__()
        self._rows = rows

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message; a failure to do so must not end the run."""
        try:
            self._rows.log(self.format(record))
        except Exception:  # noqa: BLE001 - as every handler of the standard library
            self.handleError(record)


def configure_logging(
    log_format: str, level: str = "debug", rows: ProgressRows | None = None
) -> None:
    """Send everything that the package logs to standard error.

    If it logs JSON there, and that is no terminal, all other lines become records of the log, until
    the command ends.

    Args:
        log_format: `text` or `json`.
        level: `debug`, `info`, `warning` or `error`: messages below it are left out.
        rows: What else is written to the same terminal.
    """
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(json_text)
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=_traceback
        )
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.stdlib.ExtraAdder(),
            _of_tenant,
            _redacted,
            *([_visible] if log_format == "text" else []),
        ],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler = _handler(log_format) if rows is None else _AboveRows(rows)
    handler.setFormatter(formatter)
    logger = logging.getLogger("crypto_lakehouse")
    logger.handlers = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
    if log_format == "json" and not sys.stderr.isatty():
        sys.stderr = LoggedStream(sys.stderr)


def _handler(log_format: str) -> logging.Handler:
    # Colours are escape sequences, which the stream that the messages go to would show as text.
    stream = getattr(sys.stderr, "terminal", sys.stderr) if log_format == "text" else sys.stderr
    return logging.StreamHandler(stream)
