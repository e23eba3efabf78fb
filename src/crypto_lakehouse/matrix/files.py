"""Files of facts: the shipped ones, or the user's own. They are JSON, and read strictly."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from crypto_lakehouse.core.errors import MatrixError, Problem
from crypto_lakehouse.core.input_files import read_input
from crypto_lakehouse.core.messages import shown
from crypto_lakehouse.matrix.json_reader import JsonReader, ObjectCheck

__all__ = ["parse_facts", "parse_json", "read_facts"]


def read_facts(path: str | os.PathLike[str] | None, shipped: str) -> tuple[bytes, str]:
    """Read a file of facts; None means the shipped file.

    Args:
        path: The file, or None.
        shipped: The name of the shipped file.

    Returns:
        The contents, and the file's name for errors.

    Raises:
        MatrixError: The file cannot be read.
    """
    origin = f"{shipped} (shipped)" if path is None else os.fspath(path)
    try:
        return _shipped(shipped).read_bytes() if path is None else read_input(path), origin
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise MatrixError(origin, [Problem("$", f"cannot be read: {reason}")]) from error


def _shipped(name: str) -> Traversable:
    packaged = files("crypto_lakehouse").joinpath("matrix", name)
    # An editable installation has the file where the repository has it.
    return packaged if packaged.is_file() else Path(__file__).parents[3] / "matrix" / name


def parse_json(text: str | bytes, origin: str, noun: str) -> Any:
    """Parse JSON in UTF-8, strictly.

    Args:
        text: The whole file.
        origin: Its name, for errors.
        noun: What the file is, for errors.

    Raises:
        MatrixError: It is not JSON, or an object has a key twice.
    """
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8-sig")
        return json.loads(decoded, object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        reason = f"not UTF-8: byte {error.start} is {error.object[error.start]:#04x}"
    except json.JSONDecodeError as error:
        reason = f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
    except ValueError as error:  # a repeated key, or a number with thousands of digits
        reason = f"not a {noun}: {error}"
    except RecursionError:
        reason = f"not a {noun}: nested too deeply"
    raise MatrixError(origin, [Problem("$", reason)])


def parse_facts(
    text: bytes | str,
    origin: str,
    noun: str,
    kind: type[Any],
    checks: Mapping[type, ObjectCheck],
    *,
    every_type: bool = False,
) -> Any:
    """Parse a file of facts as an attrs class.

    Args:
        text: The whole file, JSON in UTF-8.
        origin: Its name, for errors.
        noun: What the file is, for errors.
        kind: The class of the top-level object.
        checks: What to check of each class beyond the types of its fields.
        every_type: Whether data types that are only recorded are known as well.

    Raises:
        MatrixError: With every fault found, each with its place.
    """
    reader = JsonReader(checks, every_type=every_type)
    facts = reader.read(parse_json(text, origin, noun), kind, "$")
    if reader.problems:
        raise MatrixError(origin, reader.problems)
    return facts


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make one JSON object; a repeated key is refused, because one of its values would be lost."""
    value: dict[str, Any] = {}
    for key, item in pairs:
        if key in value:
            raise ValueError(f"the key `{shown(key)}` is given twice in one object")
        value[key] = item
    return value
