"""`crypto-lakehouse demo`."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import anyio
import click

from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.stores.user_path import absolute_path

__all__ = ["command"]

_DAY = "2025-07-15"

#: Printed first, as the tables look like those of the real market.
_MADE_UP = (
    "All prices here are made up: the archives come from a server inside this process, and are "
    "not Binance's."
)


@click.command("demo", short_help="Collect one day of made-up klines; no network is used.")
@click.option("--output", "-o", default="demo-output", metavar="DIR", show_default=True,
              help="Where the archives go.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
def command(output: str, *, as_json: bool) -> int:
    """Collect one day of made-up klines from inside this process; no network is used.

    Spot BTCUSDT klines in all 13 daily intervals: the same engine, the same checks and the same
    layout as with the real archive. With the extra `tables` they become a table, and three queries
    are run on it; with the extra `plot` two pictures are drawn.
    """
    return anyio.run(partial(_demo, output, as_json=as_json))


async def _demo(output: str, *, as_json: bool) -> int:
    from crypto_lakehouse.cli.collect import run_to_end
    from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
    from crypto_lakehouse.core.metrics import ByteMeter
    from crypto_lakehouse.sinks.lines import LinesSink
    from crypto_lakehouse.testing import ArchiveServer
    from crypto_lakehouse.workflows import ArchiveCollectionWorkflow

    click.echo(_MADE_UP, err=as_json)
    async with ArchiveServer() as server:
        config = WorkflowConfig(
            {
                "source_url": server.url,
                "proxy": "none",
                "markets": ["spot"],
                "symbols": ["BTCUSDT"],
                "data_types": ["klines"],
                "partitions": ["daily"],
                "default_date": _DAY,
                "force_redownload": True,  # each demo shows the whole process
            },
            environ={},
            overrides={"output_directory": output},
        )
        meter = ByteMeter()
        sink = LinesSink(meter, every_archive=True)
        workflow = ArchiveCollectionWorkflow(config, sinks=[sink], meter=meter)
        code = await run_to_end(workflow, as_json=as_json, strict=True)
    if code != 0:
        return code
    if not as_json:
        _explain(output)
    from crypto_lakehouse.cli.demo_tables import show_tables

    code, _ = await show_tables(Path(output), quiet=as_json)
    if not as_json:
        _say_what_next(_command())
    return code


def _command() -> str:
    """How this program was called, so that the suggested commands can be typed as they are."""
    called = sys.argv[0]
    return called if called.endswith("/crypto-lakehouse") else "crypto-lakehouse"


def _explain(output: str) -> None:
    root = absolute_path(output)
    zips = sorted(root.rglob("*.zip"))
    sidecars = sorted(root.rglob("*.zip.CHECKSUM"))
    click.echo(
        f"{plural(len(zips), 'archive')} and {plural(len(sidecars), 'sidecar')}, for example:"
    )
    click.echo(f"  {zips[0] if zips else '-'}")


def _say_what_next(called: str) -> None:
    click.echo(
        "\nNone of these prices is real. The real archive, next:\n"
        f"  {called} plan    -o data -s BTCUSDT --markets spot -t klines --date {_DAY}\n"
        f"  {called} collect -o data -s BTCUSDT --markets spot -t klines --date {_DAY} --ingest\n"
        f"  {called} verify  -o data\n"
        f"  {called} query   -o data .shell\n"
        f"  {called} collect --help"
    )
