"""`crypto-lakehouse matrix`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from crypto_lakehouse.planning.matrix import Matrix, MatrixRow

__all__ = ["command"]


@click.command("matrix")
@click.argument("file", type=click.Path(), required=False)
@click.option("--check", is_flag=True, help="Say only whether the file can be used.")
def command(file: str | None, *, check: bool) -> int:
    """Show what the publisher offers, or check a matrix FILE.

    Without FILE the shipped matrix is shown. The two older formats are read as well; what they
    say and the archive does not have is corrected, and each correction told.

    \b
    Examples:
      crypto-lakehouse matrix
      crypto-lakehouse matrix my-matrix.json --check
    """  # noqa: D301 - click reads \b
    from crypto_lakehouse.planning.matrix import load_matrix

    matrix = load_matrix(file)
    for correction in matrix.corrections:
        click.echo(f"corrected: {correction}", err=True)
    if check:
        click.echo(f"{matrix.origin}: good, {len(matrix.rows)} rows")
    else:
        _show(matrix)
    return 0


def _show(matrix: Matrix) -> None:
    from crypto_lakehouse.cli.render import print_table

    columns = ("market", "data type", "partition", "intervals", "from", "to", "lag", "state")
    print_table(
        f"matrix {matrix.origin}", columns, [line for row in matrix.rows for line in _lines(row)]
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
