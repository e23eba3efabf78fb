"""`crypto-lakehouse matrix diff`."""

from __future__ import annotations

import click

from crypto_lakehouse.cli.json_output import json_line

__all__ = ["command"]


@click.command("diff", short_help="Compare two matrices.")
@click.argument("old", metavar="A", type=click.Path())
@click.argument("new", metavar="B", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print the changes as one JSON object.")
def command(old: str, new: str, *, as_json: bool) -> int:
    """Show what was added (+), removed (-) and changed (*) from matrix A to matrix B.

    Rows, partitions, intervals, symbols, first and last days, states and lags are compared.

    \b
    Examples:
      crypto-lakehouse matrix diff binance-2026-11-01.json binance-2026-12-01.json
    """  # noqa: D301 - click reads \b
    from crypto_lakehouse.matrix.diff import diff_matrices
    from crypto_lakehouse.matrix.load import load_matrix

    matrices = load_matrix(old), load_matrix(new)
    for matrix in matrices:
        for correction in matrix.corrections:
            click.echo(f"corrected: {matrix.origin}: {correction}", err=True)
    difference = diff_matrices(*matrices)
    if as_json:
        click.echo(json_line(difference.to_mapping()))
        return 0
    for line in difference.lines():
        click.echo(line)
    if not difference.changes:
        click.echo("nothing differs", err=True)
    return 0
