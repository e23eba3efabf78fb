"""Loads a matrix file in any supported format."""

from __future__ import annotations

import os
from functools import lru_cache

from crypto_lakehouse.core.errors import MatrixError, Problem
from crypto_lakehouse.matrix.current_format import read_current
from crypto_lakehouse.matrix.files import parse_json, read_facts
from crypto_lakehouse.matrix.model import Matrix
from crypto_lakehouse.matrix.older_formats import is_older, read_older

__all__ = ["load_matrix", "parse_matrix"]


_SHIPPED = "binance.json"


def load_matrix(path: str | os.PathLike[str] | None = None) -> Matrix:
    """Read and check a matrix file; None means the shipped file.

    Raises:
        MatrixError: The file cannot be read, or has faults; every fault is named.
    """
    return _shipped() if path is None else parse_matrix(*read_facts(path, _SHIPPED))


@lru_cache(maxsize=1)
def _shipped() -> Matrix:
    return parse_matrix(*read_facts(None, _SHIPPED))


def parse_matrix(text: str | bytes, origin: str) -> Matrix:
    """Read a matrix in the current format or in one of the two older ones.

    Args:
        text: The whole file, JSON in UTF-8.
        origin: Its name, for errors.

    Raises:
        MatrixError: With every fault found, each with its place.
    """
    data = parse_json(text, origin, "matrix")
    if not isinstance(data, dict):
        raise MatrixError(origin, [Problem("$", "must be an object")])
    if not isinstance(data.get("availability_matrix"), list):
        missing = "required: the list of rows"
        raise MatrixError(origin, [Problem("$.availability_matrix", missing)])
    if is_older(data):
        return read_older(data, origin, _shipped())
    return read_current(data, origin)
