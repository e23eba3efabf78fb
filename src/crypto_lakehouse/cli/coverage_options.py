"""The options of commands that show coverage: which series and days, and what is complete."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import click

from crypto_lakehouse.cli.list_option import ListOption
from crypto_lakehouse.core.config.days import DAY_FORMS

__all__ = ["coverage_options"]


def coverage_options(first: str, last: str) -> Callable[[Any], Any]:
    """Make the options that `status` and `report` have alike.

    Args:
        first: The first day by default, for the help.
        last: The last day by default, for the help.
    """
    options = (
        click.option("--markets", cls=ListOption, metavar="LIST",
                     help="spot, futures_um, futures_cm, options. [default: all]"),
        click.option("-s", "--symbols", cls=ListOption, metavar="LIST",
                     help="As BTCUSDT,ETH*. [default: all]"),
        click.option("-t", "--data-types", cls=ListOption, metavar="LIST",
                     help="As klines,trades. [default: all]"),
        click.option("-i", "--intervals", cls=ListOption, metavar="LIST",
                     help="As 1m,1h,1d. [default: all]"),
        click.option("--start", metavar="DAY",
                     help=f"First UTC day: {DAY_FORMS}. [default: {first}]"),
        click.option("--end", metavar="DAY", help=f"Last UTC day, inclusive. [default: {last}]"),
        click.option("--of", type=click.Choice(["asked", "published"]),
                     help="Complete is what runs were asked for, or what the publisher has. "
                     "[default: asked; with --start or --end: published]"),
        click.option("--matrix", "matrix_path", metavar="FILE",
                     help="The matrix. [default: the shipped one]"),
        click.option("--acknowledge", cls=ListOption, metavar="LIST",
                     help="Archives, as keys or globs, that you know the source to lack."),
        click.option("--holes-path", metavar="FILE",
                     help="A file of such archives, one in a line."),
    )  # fmt: skip
    return lambda command: reduce(lambda made, option: option(made), reversed(options), command)
