"""Which streams a recording has: the selected symbols, as far as the exchange lists them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from crypto_lakehouse.core.archive import DataType, Market
from crypto_lakehouse.core.config.record_settings import ROTATIONS, SNAPSHOT_TIMES
from crypto_lakehouse.core.config.values import is_glob
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError, Problem, SelectionError
from crypto_lakehouse.core.messages import did_you_mean
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.live.streams import STREAMS_OF, LiveStream, streams_of

__all__ = [
    "fills_tables",
    "recorded_kinds",
    "recorded_markets",
    "refuse_other_changes",
    "rotation_s",
    "select_streams",
    "snapshot_s",
]

_INTERVALS = ("1m",)


def recorded_markets(config: WorkflowConfig) -> list[Market]:
    """The markets of a configuration that have streams.

    Raises:
        ConfigurationError: There is none, or no symbol is selected.
    """
    chosen = config.markets or tuple(STREAMS_OF)
    markets = [market for market in STREAMS_OF if market in chosen]
    problems = []
    if not markets:
        names = ", ".join(STREAMS_OF)
        problems.append(Problem("$.markets", f"no streams are recorded of it; allowed: {names}"))
    if config.symbols is None and config.symbol_filter.is_open:
        reason = "required, and missing; list the symbols, for example [BTCUSDT], or `*` for all"
        problems.append(Problem("$.symbols", reason))
    if problems:
        raise ConfigurationError(problems)
    return markets


def recorded_kinds(config: WorkflowConfig) -> tuple[StreamKind, ...]:
    """The kinds of streams; aggTrade by default."""
    given = (config.record or {}).get("streams", [StreamKind.AGG_TRADE])
    return tuple(map(StreamKind, given))


def fills_tables(config: WorkflowConfig) -> bool:
    """Whether segments are ingested as they are finished."""
    return bool((config.record or {}).get("ingest"))


def rotation_s(config: WorkflowConfig) -> int:
    """How long a segment is, in seconds; an hour by default, and 5 minutes if tables are filled."""
    default = "5m" if fills_tables(config) else "1h"
    return ROTATIONS[(config.record or {}).get("rotate", default)]


def snapshot_s(config: WorkflowConfig) -> int:
    """How often each order book is fetched, in seconds."""
    return SNAPSHOT_TIMES[(config.record or {}).get("snapshots", "10m")]


def select_streams(
    config: WorkflowConfig, listed: Mapping[Market, Mapping[str, bool] | None]
) -> list[LiveStream]:
    """Select the streams of a recording.

    Args:
        config: Names symbols, kinds and intervals.
        listed: The symbols of each market, and whether each is traded; None if that is not known.

    Raises:
        SelectionError: The exchange does not list a symbol, or nothing is selected.
    """
    streams: list[LiveStream] = []
    missing = dict.fromkeys(each for each in config.all_symbols if not is_glob(each))
    for market, symbols in listed.items():
        wanted = _wanted(config, market)
        if symbols is None:
            chosen = [each for each in wanted if not is_glob(each)]
        else:
            chosen = [
                symbol
                for symbol, is_traded in symbols.items()
                if symbol in wanted or (is_traded and _matches(symbol, wanted))
            ]
        chosen = [each for each in chosen if config.symbol_filter.accepts(each, market)]
        for symbol in wanted:
            if symbols is None or symbol in symbols:
                missing.pop(symbol, None)
        streams += streams_of(market, recorded_kinds(config), chosen, _intervals(config))
    if missing:
        known = sorted({each for symbols in listed.values() for each in symbols or ()})
        raise SelectionError(
            Problem("$.symbols", f"the exchange does not list `{each}`{did_you_mean(each, known)}")
            for each in missing
        )
    if not streams:
        raise SelectionError([Problem("$.symbols", "no stream of the exchange fits the selection")])
    return streams


#: What a recording was begun with, and cannot change while it runs.
_FIXED = (
    "output_directory", "state_directory", "storage", "credentials", "markets", "fill",
    "proxy", "ca_bundle", "redirect_hosts", "allow_http", "timeout_seconds",
)  # fmt: skip


def refuse_other_changes(before: WorkflowConfig, after: WorkflowConfig) -> None:
    """Refuse a configuration that changes more than which streams are recorded.

    Raises:
        ConfigurationError: Another key has another value.
    """
    changed = [name for name in _FIXED if getattr(before, name) != getattr(after, name)]
    if _others(before) != _others(after):
        changed.append("record")
    if changed:
        reason = "it cannot change while the recording runs; stop the recording, and begin it again"
        raise ConfigurationError(Problem(f"$.{name}", reason) for name in changed)


def _others(config: WorkflowConfig) -> dict[str, object]:
    """The settings of `record` without its streams."""
    return {name: each for name, each in (config.record or {}).items() if name != "streams"}


def _wanted(config: WorkflowConfig, market: Market) -> tuple[str, ...]:
    """The symbols and globs of a market."""
    if config.symbols is None:
        return ("*",)
    if isinstance(config.symbols, Mapping):
        return config.symbols.get(market, ())
    return config.symbols


def _matches(symbol: str, wanted: Iterable[str]) -> bool:
    return any(fnmatchcase(symbol, each) for each in wanted if is_glob(each))


def _intervals(config: WorkflowConfig) -> tuple[str, ...]:
    given = config.intervals
    if isinstance(given, Mapping):
        given = given.get(DataType.KLINES)
    return given or _INTERVALS
