"""`crypto-lakehouse matrix`, and the commands below it."""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crypto_lakehouse.core.messages import did_you_mean, plural, shown

if TYPE_CHECKING:
    from crypto_lakehouse.matrix.model import Matrix, MatrixRow

__all__ = ["command"]

_SHOW = "show"

_BELOW = {"refresh": "matrix_refresh", "diff": "matrix_diff"}


class _MatrixGroup(click.Group):
    """Commands in modules of their own; any other first word is the FILE of `show`."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return [_SHOW, *_BELOW]

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        if name == _SHOW:
            return _show
        if name not in _BELOW:
            return None
        found: click.Command = import_module(f"crypto_lakehouse.cli.{_BELOW[name]}").command
        return found

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        first = args[0] if args else ""
        if not first.startswith("-"):
            _refuse_mistyped(first, self.list_commands(ctx))
        if first not in {*self.list_commands(ctx), *ctx.help_option_names}:
            args = [_SHOW, *args]
        return super().parse_args(ctx, args)


@click.group(
    "matrix",
    short_help="Show what the publisher offers; refresh and compare matrices.",
    cls=_MatrixGroup,
    subcommand_metavar="[FILE] [--check] | COMMAND ...",
)
def command() -> None:
    """Show what the publisher offers, or check a matrix FILE; refresh and compare matrices.

    A matrix says which markets, data types, intervals and days are published. A refreshed one also
    has the symbols, including delisted ones.

    \b
    Examples:
      crypto-lakehouse matrix
      crypto-lakehouse matrix my-matrix.json --check
      crypto-lakehouse matrix refresh --to today.json
      crypto-lakehouse matrix diff yesterday.json today.json
      crypto-lakehouse plan --matrix today.json -s "*USDT" --discovery calendar --date 2025-07-15
    """  # noqa: D301 - click reads \b


@click.command(_SHOW, short_help="Show or check a matrix; the word `show` may be left out.")
@click.argument("file", type=click.Path(), required=False)
@click.option("--check", is_flag=True, help="Only report whether the file can be used.")
def _show(file: str | None, *, check: bool) -> int:
    """Show what the publisher offers, or check a matrix FILE; the word `show` may be left out.

    Without FILE the shipped matrix is shown. The two older formats are read as well; claims that
    the archive does not bear out are corrected, and each correction is listed.

    \b
    Examples:
      crypto-lakehouse matrix
      crypto-lakehouse matrix my-matrix.json --check
    """  # noqa: D301 - click reads \b
    from crypto_lakehouse.matrix.load import load_matrix

    _refuse_mistyped(file or "", _BELOW)
    matrix = load_matrix(file)
    for correction in matrix.corrections:
        click.echo(f"corrected: {correction}", err=True)
    if check:
        click.echo(f"{matrix.origin}: good, {plural(len(matrix.rows), 'row')}")
    else:
        _print(matrix)
    return 0


def _refuse_mistyped(word: str, commands: Collection[str]) -> None:
    """Refuse a word that is no file, and nearly the name of a command.

    Raises:
        UsageError: It is.
    """
    if word in commands or Path(word).suffix or Path(word).exists():
        return
    if hint := did_you_mean(word, commands):
        raise click.UsageError(f"`{shown(word)}` is neither a command nor a file{hint}")


def _print(matrix: Matrix) -> None:
    from crypto_lakehouse.cli.render import print_table

    columns = ("market", "data type", "partition", "intervals", "from", "to", "lag", "state")
    print_table(
        f"matrix {matrix.origin}",
        columns,
        [line for row in matrix.rows for line in _lines(row)],
        droppable=("lag", "from", "state", "to", "intervals"),
        foldable=("intervals",),
    )
    click.echo("`from` and `to` are days of data, `lag` is days after the period's end")


def _lines(row: MatrixRow) -> list[tuple[object, ...]]:
    return [
        (
            row.market,
            row.data_type,
            partition,
            " ".join(facts.intervals) or "-",
            facts.available_from,
            facts.available_to or "-",
            facts.lag_days,
            row.state,
        )
        for partition, facts in row.partitions.items()
    ]
