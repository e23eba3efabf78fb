"""Names of files that options take."""

from __future__ import annotations

import click

__all__ = ["file_only", "named_file"]


def named_file(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> str | None:
    """Refuse an empty name of a file, as a shell makes it of an unset variable."""
    if value == "":
        raise click.BadParameter("the name is empty; name a file")
    return value


def file_only(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Refuse `-` as well: for other options it is standard output."""
    if value == "-":
        raise click.BadParameter("`-` is not standard output here; name a file")
    return named_file(context, parameter, value)
