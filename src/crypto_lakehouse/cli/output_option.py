"""`--output` of the commands that read what `collect` wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

__all__ = ["MIRROR", "output_option"]

_COLLECTED = "The directory that `collect` wrote to"

#: The help of commands that need no ledger.
MIRROR = f"{_COLLECTED}, or any mirror of the archive."


def output_option(name: str = "output", text: str = f"{_COLLECTED}.") -> Callable[[Any], Any]:
    """Make the option.

    Args:
        name: The parameter that takes the directory.
        text: Its help.
    """
    return click.option(
        "--output", "-o", "--output-directory", name, required=True, metavar="DIR", help=text
    )
