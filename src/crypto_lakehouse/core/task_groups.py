"""Errors out of task groups, as their callers expect them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from crypto_lakehouse.core.errors import LakehouseError

__all__ = ["one_error"]


@contextmanager
def one_error() -> Iterator[None]:
    """Raise the one error of ours out of a task group, instead of a group that holds it.

    A group without an error of ours, which is a fault in the program, passes unchanged.
    """
    try:
        yield
    except ExceptionGroup as group:
        ours = group.subgroup(LakehouseError)
        if ours is None:
            raise
        raise _first_leaf(ours) from None


def _first_leaf(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
