"""Errors of the folder of temporary files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from crypto_lakehouse.core.errors import StoreError

__all__ = ["temporary_errors"]


@contextmanager
def temporary_errors(what: str) -> Iterator[None]:
    """Convert errors of the disk to `StoreError`.

    Args:
        what: What is kept there, as `the plan`.
    """
    try:
        yield
    except OSError as error:
        cause = error.strerror or error
        reason = f"{what} cannot be kept there: {cause}; set TMPDIR to another folder"
        raise StoreError(tempfile.gettempdir(), reason, stops_run=True) from error
