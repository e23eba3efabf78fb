"""The last guard around one archive, folder or page: an error that no code foresaw.

Such an error is a fault in this package, or in a library that it uses. It must not end a run, as
every later run would end at the same archive. What it concerns gets a verdict, and the log gets the
traceback.
"""

from __future__ import annotations

import logging
import traceback

import anyio

from crypto_lakehouse.core.errors import (
    ArchiveKeyError,
    ArchiveRefused,
    LakehouseError,
    ListingError,
    SidecarMalformed,
    TransferError,
)
from crypto_lakehouse.core.messages import shown
from crypto_lakehouse.core.redaction import redact_environment

__all__ = ["ends_run", "logged_fault", "unforeseen"]

_log = logging.getLogger("crypto_lakehouse")

#: Errors of this package that concern one item.
_OF_ONE_ITEM = (ArchiveKeyError, ArchiveRefused, ListingError, SidecarMalformed, TransferError)

#: Raised when the sinks are gone, and the run is ending for that reason.
_CLOSED = (anyio.BrokenResourceError, anyio.ClosedResourceError)


def ends_run(error: Exception) -> bool:
    """Whether an error concerns all archives, so that a guard around one of them must not keep it.

    Every other error of this package does, such as a configuration that cannot be used.
    """
    is_ours = isinstance(error, LakehouseError) and not isinstance(error, _OF_ONE_ITEM)
    return is_ours or isinstance(error, _CLOSED)


def unforeseen(error: Exception, what: str) -> str:
    """Log an unforeseen error with its traceback, and return the reason for a verdict.

    Secrets are masked in both.

    Args:
        error: The error.
        what: The key, folder or prefix that it concerns.

    Raises:
        Exception: `error` itself, if it ends the run.
    """
    if ends_run(error):
        raise error
    return logged_fault(error, what)


def logged_fault(error: Exception, what: str) -> str:
    """Log any error as an unforeseen one with its traceback, and return the reason.

    Secrets are masked in both.

    Args:
        error: The error.
        what: What it concerns.
    """
    lines = "".join(traceback.format_exception(error))
    _log.error("unforeseen error at %s:\n%s", shown(what), redact_environment(lines).rstrip())
    text = str(error)
    name = type(error).__name__ + (f": {shown(redact_environment(text))}" if text else "")
    return (
        f"unforeseen {name}; this is a fault in crypto-lakehouse: please report it with the "
        "traceback, which `--log-format text` shows"
    )
