"""`crypto-lakehouse export`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click
from attrs import asdict

from crypto_lakehouse.cli.file_names import file_only
from crypto_lakehouse.cli.json_output import json_line
from crypto_lakehouse.cli.lake_options import open_lake, place_options
from crypto_lakehouse.cli.list_option import ListOption
from crypto_lakehouse.core.archive import INTERVALS
from crypto_lakehouse.core.config.storage import is_url
from crypto_lakehouse.core.data_types import DataType, Market
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.messages import allowed_values, plural, shown, some_of
from crypto_lakehouse.core.origin import Origin

if TYPE_CHECKING:
    from crypto_lakehouse.tables.export.export import ExportReport
    from crypto_lakehouse.tables.export.record import ExportedFile
    from crypto_lakehouse.tables.export.units import ExportSelection

__all__ = ["command"]

#: How many series without a file are named for each reason.
_NAMED = 5

#: Folders of an output, in which only collections and recordings write.
_OWN = ("data", "live", "rest", ".lakehouse")

_ALLOWED = {
    "markets": [*map(str, Market)],
    "data_types": [*map(str, DataType)],
    "intervals": [*INTERVALS],
    "origins": [*map(str, Origin)],
}


@click.command("export", short_help="Write files for backtesters, or CSV and Parquet.")
@place_options
@click.option("--for", "target", required=True, metavar="TARGET",
              help="freqtrade, nautilus, vectorbt, csv or parquet. [required]")  # fmt: skip
@click.option("--to", required=True, metavar="DIR", callback=file_only,
              help="Where the files go. [required]")  # fmt: skip
@click.option("--markets", cls=ListOption, metavar="LIST",
              help="Only these markets, as spot,futures_um.")  # fmt: skip
@click.option("--symbols", "-s", cls=ListOption, metavar="LIST",
              help="Only these symbols; globs, as BTC*,ETHUSDT.")  # fmt: skip
@click.option("--data-types", "-t", cls=ListOption, metavar="LIST",
              help="Only these data types, as klines,trades. [default: all that the target takes]"
              )  # fmt: skip
@click.option("--intervals", "-i", cls=ListOption, metavar="LIST",
              help="Only these intervals, as 1m,1h.")  # fmt: skip
@click.option("--start", metavar="TIME", help="The first day or time, in UTC.")
@click.option("--end", metavar="TIME", help="The last day, or the first time after the rows.")
@click.option("--as-of", metavar="TIME",
              help="The tables as they were at that time: a day or a time.")  # fmt: skip
@click.option("--origins", cls=ListOption, metavar="LIST",
              help="Only rows of these origins: archive leaves out provisional ones.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors.")
def command(**given: Any) -> int:
    """Write rows of the tables as files for other programs.

    freqtrade: candles and funding rates, as in user_data/data/binance. nautilus: bars and trades of
    a ParquetDataCatalog. vectorbt: bars as Parquet files, which pandas reads with their index. csv
    and parquet: all columns of all types, a year or month in each file.

    A file gets its name once it is complete. A second export into the same folder writes only what
    has changed, removes files of which the tables have no rows any more, and continues one that was
    killed. A file that no export has written is never replaced.

    \b
    Examples:
      crypto-lakehouse export -o data --for freqtrade --to user_data/data/binance -s BTCUSDT -i 1h
      crypto-lakehouse export -o data --for vectorbt --to bars --markets spot -i 1h
      crypto-lakehouse export -o data --for csv --to csv -s BTCUSDT -t trades --end 2025-07-31
    """  # noqa: D301 - click reads \b
    from crypto_lakehouse.workflows.ingestion import need_tables

    need_tables()
    selection = _selection(given)
    _check_folder(given)
    with open_lake(given) as lake:
        from crypto_lakehouse.tables.export.export import export_lake

        def told(line: ExportedFile) -> None:
            if not (given["quiet"] or given["as_json"]):
                click.echo(f"written: {line.path}: {plural(line.rows, 'row', form=',')}", err=True)

        report = export_lake(lake, given["target"], given["to"], selection, told)
    if given["as_json"]:
        click.echo(json_line(asdict(report)))
    elif not given["quiet"]:
        _print(report)
    return 0


def _check_folder(given: dict[str, Any]) -> None:
    """Refuse a folder among the files of the output itself.

    Raises:
        ConfigurationError: It is such a folder.
    """
    if is_url(given["output"]):
        return
    folder, output = os.path.realpath(given["to"]), os.path.realpath(given["output"])
    own = [os.path.join(output, name) for name in _OWN]  # noqa: PTH118 - not below a link
    if folder == output or any(f"{folder}{os.sep}".startswith(f"{each}{os.sep}") for each in own):
        reason = f"`{shown(given['to'])}` is a folder of the output itself; name one beside it"
        raise ConfigurationError([Problem("--to", reason)])


def _selection(given: dict[str, Any]) -> ExportSelection:
    """Read the lists of the options.

    Raises:
        ConfigurationError: With every fault found.
    """
    from crypto_lakehouse.core.config.scalar_values import structure_text
    from crypto_lakehouse.core.config.sources import parse_text_value
    from crypto_lakehouse.tables.export.units import ExportSelection

    values: dict[str, Any] = {name: given[name] for name in ("start", "end", "as_of")}
    problems: list[Problem] = []
    for name in ("symbols", *_ALLOWED):
        if given[name] is None:
            continue
        option = f"--{name.replace('_', '-')}"
        try:
            values[name] = parse_text_value(given[name], tuple[str, ...])
            values[name] = tuple(structure_text(each, str) for each in values[name])
            if not values[name]:
                raise ValueError("must not be empty; leave the option out to select all")
        except ValueError as error:
            problems.append(Problem(option, str(error)))
            continue
        if name == "intervals":  # as in configurations
            values[name] = ["1mo" if each == "1M" else each for each in values[name]]
        allowed = _ALLOWED.get(name, values[name])
        problems += [
            Problem(option, f"`{shown(each)}` is unknown; {allowed_values(each, allowed)}")
            for each in values[name]
            if each not in allowed
        ]
    if problems:
        raise ConfigurationError(problems)
    return ExportSelection(**values)


def _print(report: ExportReport) -> None:
    from crypto_lakehouse.cli.render import bytes_text

    written = plural(len(report.written), "file", form=",")
    click.echo(
        f"{report.folder}: {written} written ({plural(report.rows, 'row', form=',')}, "
        f"{bytes_text(report.size_bytes)}), {report.unchanged:,} unchanged"
    )
    for path in report.removed:
        click.echo(f"removed: {path}: the table has no such rows any more", err=True)
    for reason, names in report.refused.items():
        click.echo(f"no file for {some_of(names, _NAMED)}: {reason}", err=True)
