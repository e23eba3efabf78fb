"""Options that are configuration keys, shared by the commands that take a configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from crypto_lakehouse.core.config.sources import parse_text_value
from crypto_lakehouse.core.config.workflow_config import config_keys
from crypto_lakehouse.core.errors import ConfigurationError, Problem

if TYPE_CHECKING:
    from crypto_lakehouse.core.config.workflow_config import WorkflowConfig

__all__ = ["config_options", "option_overrides", "say_proxy"]

_Command = TypeVar("_Command", bound=Callable[..., object])

#: Key -> (option names, metavar, help). The order is that of `--help`.
_OPTIONS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "output_directory": (("--output", "-o"), "DIR", "Where archives go: DIR/<object key>."),
    "markets": ((), "LIST", "spot, futures_um, futures_cm, options. [default: all]"),
    "symbols": (("-s",), "LIST", 'As BTCUSDT,ETHUSDT, or {"spot": ["BTCUSDT"]}.'),
    "data_types": (("-t",), "LIST", "As klines,trades. [default: all of the market]"),
    "intervals": (("-i",), "LIST", "As 1m,1h,1d. [default: all of the type]"),
    "partitions": ((), "LIST", "daily, monthly or auto: months where closed, else days."),
    "default_date": (("--date",), "DAY", "One UTC day, YYYY-MM-DD, in place of --start and --end."),
    "matrix_path": (("--matrix",), "FILE", "The matrix. [default: the shipped one]"),
    "max_parallel_downloads": (("-j",), "N", "1 to 256, or auto. [default: 16]"),
    "integrity": ((), "HOW", "sidecar, listing or both. [default: sidecar]"),
    "timeout_seconds": ((), "SECONDS", "How long the source may be silent. [default: 300]"),
    "max_retries": ((), "N", "0 to 20, with growing waits. [default: 5]"),
    "max_bytes_per_second": ((), "N", "A cap for the whole run. [default: none]"),
    "max_requests_per_second": ((), "N", "Another, as 50 or 0.5. [default: none]"),
    "processes": ((), "N", "Processes that share the work: 1 to 64, or auto. [default: 1]"),
    "segmented_downloads": ((), "HOW", "Very large archives over several connections: auto, off."),
    "discovery": ((), "HOW", "listing or calendar. [default: listing, where one is known]"),
    "quote_assets": ((), "LIST", "Only symbols quoted in these, as USDT,USDC."),
    "contracts": ((), "LIST", "Only these futures: perpetual, delivery, settled."),
    "leveraged_tokens": ((), "HOW", "include, exclude or only, as BTCUPUSDT. [default: include]"),
    "stable_pairs": ((), "HOW", "include, exclude or only, as USDCUSDT. [default: include]"),
    "only": ((), "WHAT", "failed or quarantined: of these nothing but what the ledger says is."),
    "replaced_retention_days": ((), "N", "Keep replaced versions this long. [default: for ever]"),
    "source_url": ((), "URL", "Any mirror. [default: https://data.binance.vision]"),
    "second_source_url": ((), "URL", "Asked where the first one serves wrong or stale bytes."),
    "listing_url": ((), "URL", "The source's S3 listing."),
    "redirect_hosts": ((), "LIST", "Further hosts that the source may redirect to."),
    "proxy": ((), "URL", "environment, none, or a proxy's URL. [default: environment]"),
    "ca_bundle": ((), "FILE", "Trust these certificate authorities, and no others."),
    "environment": ((), "NAME", "development or production."),
    "workflow_type": ((), "NAME", "archive_collection."),
}

_FLAGS = {
    "download_checksum": "Keep the .CHECKSUM beside each zip. [default: yes]",
    "accept_upstream_mismatch": "Let in readable archives that disagree with their sidecar.",
    "force_redownload": "Fetch again what is already verified.",
    "allow_http": "Ask hosts other than this machine without TLS, too. [default: no]",
}

_DATES = {"start": "First UTC day, YYYY-MM-DD.", "end": "Last UTC day, inclusive."}


def config_options(command: _Command) -> _Command:
    """Add `--config` and one option for each configuration key to a command."""
    options = [
        click.option("--config", "config_file", type=click.Path(), metavar="FILE",
                     help="JSON, TOML or YAML; options win over it."),
        *(_option(key, *_OPTIONS[key]) for key in ("output_directory", "markets", "symbols")),
        *(_option(key, *_OPTIONS[key]) for key in ("data_types", "intervals", "partitions")),
        *(
            click.option(f"--{edge}", f"--date-range-{edge}", edge, metavar="DAY", help=text)
            for edge, text in _DATES.items()
        ),
        *(_option(key, *_OPTIONS[key]) for key in list(_OPTIONS)[6:]),
        *(
            click.option(f"--{_dashed(key)}/--no-{_dashed(key)}", key, default=None, help=text)
            for key, text in _FLAGS.items()
        ),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def _dashed(key: str) -> str:
    return key.replace("_", "-")


def _option(
    key: str, names: tuple[str, ...], metavar: str, text: str
) -> Callable[[_Command], _Command]:
    return click.option(*names, f"--{_dashed(key)}", key, metavar=metavar, help=text)


def option_overrides(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration values that options give; keys without an option given are absent.

    Raises:
        ConfigurationError: Options that cannot be read, all at once, by their names.
    """
    overrides: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, field in config_keys().items():
        value = given.get(key)
        if value is None:
            continue
        try:
            kind = field.metadata["kind"]
            overrides[key] = parse_text_value(value, kind) if isinstance(value, str) else value
        except ValueError as error:
            problems.append(Problem(f"--{_dashed(key)}", str(error)))
    if problems:
        raise ConfigurationError(problems)
    edges = {edge: given[edge] for edge in _DATES if given.get(edge) is not None}
    return {**overrides, "date_range": edges} if edges else overrides


def say_proxy(config: WorkflowConfig) -> None:
    """Say on standard error through which proxy requests go, where they go through one.

    Raises:
        ConfigurationError: A proxy or a file of certificates cannot be used.
        ExtraMissing: A SOCKS proxy is used, and the extra `socks` is not installed.
    """
    from crypto_lakehouse.workflows.wiring.network import Network

    if note := Network.of(config).note:
        click.echo(f"note: {note}", err=True)
