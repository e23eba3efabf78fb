"""Options that give an age: a number of days, or text such as `30d` or `2w`."""

from __future__ import annotations

import click

from crypto_lakehouse.core.config.quantities import parse_quantity
from crypto_lakehouse.core.messages import shown

__all__ = ["days_of", "whole_days_of"]

#: About a hundred years; a longer age would begin before the first year that dates have.
MOST_DAYS = 36_500


def days_of(_: click.Context, option: click.Parameter, text: str | None) -> float | None:
    """Return a number of days, for `callback=`; None if the option is not given.

    Raises:
        BadParameter: The text is not a number of days, or is out of bounds.
    """
    if text is None:
        return None
    try:
        quantity = parse_quantity(text, "days")
        days = _number(text) if quantity is None else quantity
    except ValueError as error:
        raise click.BadParameter(str(error), param=option) from None
    if not 0 <= days <= MOST_DAYS:
        reason = f"must be 0 to {MOST_DAYS} days, not `{shown(text)}`"
        raise click.BadParameter(reason, param=option)
    return days


def whole_days_of(context: click.Context, option: click.Parameter, text: str | None) -> int | None:
    """Return a whole number of days in the same way."""
    days = days_of(context, option, text)
    if days is None or days == int(days):
        return days if days is None else int(days)
    raise click.BadParameter(f"`{shown(text)}` must be a whole number of days", param=option)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        hint = "write a number of days, or text such as `30d` or `2w`"
        raise ValueError(f"`{shown(text)}` is not a number of days; {hint}") from None
