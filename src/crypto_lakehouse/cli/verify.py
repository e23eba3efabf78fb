"""`crypto-lakehouse verify`."""

from __future__ import annotations

import json
from functools import partial

import anyio
import click

__all__ = ["command"]


@click.command("verify")
@click.option(
    "--output",
    "-o",
    "--output-directory",
    "output",
    required=True,
    metavar="DIR",
    help="The directory that `collect` wrote to, or any mirror of the archive.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def command(output: str, *, as_json: bool) -> int:  # fmt: skip
    """Hash every stored archive and compare it with its sidecar, or with the ledger.

    Nothing is changed. Exit code 4: some are damaged; 3: some that were verified are gone.
    """
    return anyio.run(partial(_verify, output, as_json=as_json))


async def _verify(output: str, *, as_json: bool) -> int:
    from crypto_lakehouse.collection.verification import FileState, StoredArchive
    from crypto_lakehouse.workflows.verification import verify_tree

    async def tell(archive: StoredArchive) -> None:
        if archive.state is not FileState.OK:
            click.echo(f"{archive.state} {archive.key}: {archive.reason}", err=True)

    report = await verify_tree(output, tell)
    if as_json:
        click.echo(json.dumps(report.to_mapping(), ensure_ascii=False))
    else:
        counts = ", ".join(f"{report.totals[state]} {state}" for state in FileState)
        click.echo(f"{report.totals.total()} archives checked: {counts}")
    return report.exit_code
