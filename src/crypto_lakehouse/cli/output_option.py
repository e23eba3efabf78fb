"""`--output` of the commands that read what `collect` wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

__all__ = ["MIRROR", "check_directory", "output_option"]

_COLLECTED = "The directory that `collect` wrote to"

#: The help of commands that need no ledger.
MIRROR = f"{_COLLECTED}, or any mirror of the archive."


def check_directory(path: str) -> None:
    """Check the directory that `--output` names.

    Raises:
        ConfigurationError: It does not exist, or is not a directory.
    """
    from crypto_lakehouse.core.errors import ConfigurationError, Problem
    from crypto_lakehouse.stores.state import directory_fault

    if fault := directory_fault(path):
        raise ConfigurationError([Problem("--output", fault)])


def output_option(name: str = "output", text: str = f"{_COLLECTED}.") -> Callable[[Any], Any]:
    """Make the option.

    Args:
        name: The parameter that takes the directory.
        text: Its help.
    """
    return click.option(
        "--output", "-o", "--output-directory", name, required=True, metavar="DIR", help=text
    )
