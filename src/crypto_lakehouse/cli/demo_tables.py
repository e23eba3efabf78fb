"""The demo's second half: tables of its archives, three queries, two pictures."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

__all__ = ["show_tables"]

#: Typical questions about one day of bars.
QUESTIONS = (
    (
        "Which intervals are there, and do they cover the day?",
        """SELECT interval, count(*) AS bars, min(open_time) AS first, max(close_time) AS last
FROM spot.klines GROUP BY interval ORDER BY bars DESC LIMIT 5""",
    ),
    (
        "In which hours did the price move most?",
        """SELECT open_time AS hour, open, close, round(high - low, 2) AS span,
    round(100 * (close / open - 1), 2) AS percent
FROM spot.klines WHERE symbol = 'BTCUSDT' AND interval = '1h' ORDER BY span DESC LIMIT 3""",
    ),
    (
        "Where are the rows from, and were they good?",
        """SELECT split_part(archive, '/', -1) AS archive, left(sha256, 12) AS sha256, time_unit,
    rows, verdict
FROM lakehouse.archives ORDER BY rows DESC LIMIT 3""",
    ),
)


async def show_tables(output: Path, *, quiet: bool) -> tuple[int, list[Path]]:
    """Ingest what was collected, query it, and draw it.

    Args:
        output: The demo's output directory.
        quiet: Whether to print nothing.

    Returns:
        An exit code, and the pictures.
    """
    from crypto_lakehouse.cli.ingest import ingest_text
    from crypto_lakehouse.core.errors import ExtraMissing
    from crypto_lakehouse.workflows.ingestion import IngestWorkflow, need_tables
    from crypto_lakehouse.workflows.lake_config import LakeConfig

    say = _nothing if quiet else click.echo
    try:
        need_tables()
    except ExtraMissing as missing:
        say(f"No tables in this demo: {missing}")
        return 0, []
    say("\nThe made-up archives become a table:")
    workflow = IngestWorkflow(LakeConfig(output_directory=str(output)))
    report = (await workflow.run()).report
    say(ingest_text(report))
    from crypto_lakehouse.tables.lake.lake import Lake

    with Lake.open(output) as lake:
        if not quiet:
            _ask(lake)
        return report.exit_code, _draw(lake, output, say)


def _nothing(_text: str) -> None:
    return None


def _ask(lake: Any) -> None:
    from crypto_lakehouse.cli.query_output import write_rows

    for question, sql in QUESTIONS:
        click.echo(f"\n{question}\n\n{_indented(sql)}\n")
        write_rows(lake.sql(sql), "table", None)


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def _draw(lake: Any, output: Path, say: Any) -> list[Path]:
    if find_spec("matplotlib") is None:
        say("\nNo pictures in this demo: install them with `pip install 'crypto-lakehouse[plot]'`")
        return []
    from crypto_lakehouse.charts.candle_chart import draw_candles
    from crypto_lakehouse.charts.coverage_plot import plot_coverage
    from crypto_lakehouse.workflows.status import status_of

    columns = ["open_time", "open", "high", "low", "close", "volume"]
    bars = lake.scan("spot.klines", symbols="BTCUSDT", interval="15m", columns=columns)
    values = bars.arrow().read_all().to_pydict()
    candles = draw_candles(output / "candles.png", values, "BTCUSDT, 15 minutes, as made up here")
    status = status_of(str(output))
    maps = plot_coverage(list(status), output / "coverage.png", today=status.today)
    pictures = [candles, *maps]
    say("\nDrawn:")
    for picture in pictures:
        say(f"  {picture}")
    return pictures
