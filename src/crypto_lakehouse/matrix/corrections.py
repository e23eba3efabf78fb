"""The corrections made to a matrix of an older format, summarised in a few sentences."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from attrs import define, field

from crypto_lakehouse.core.archive import Market

__all__ = ["Correction", "Corrections"]


class Correction(Enum):
    """Kinds of correction, in the order of reporting; `{rows}` is what each applies to.

    A kind with `{market}` in it applies to so many rows that each market gets its own sentence.
    """

    NEVER = "left out, as the archive never had them: {rows}"
    RENAMED = "premiumIndex is called premiumIndexKlines and has intervals: {rows}"
    RESPELLED = "the interval 1M is spelled 1mo: {rows}"
    INTERVAL = "left out, as these intervals are not published: {rows}"
    EMPTY = "left out, as none of the intervals named is published: {rows}"
    FOLDER = "ignored, as the type has no interval folders: {rows}"
    MONTHLY_ONLY = "3d, 1w and 1mo are published by the month only: {rows}"
    LONG_ADDED = "3d, 1w and 1mo are published by the month, and were added: {rows}"
    MONTHS_ADDED = "published by the month as well, which was added: {rows}"
    PARTITION = "left out, as these partitions are not published: {rows}"
    PATTERN = "the archive's path and file name take the place of the file's: {rows}"
    FIRST_DAY = "{market} begins as the shipped matrix has it: {rows}"
    ENDED = "these feeds have ended, with the last day of data: {rows}"
    REMOVED = "the publisher has removed these feeds: {rows}"
    ADDED = "added, as the rows lack what the file's own tree of markets has: {rows}"
    LACKING = "left out, as the file has no row for what is published: {rows}"
    SYMBOLS = (
        "ignored, as options are filed under index symbols (BTCBVOLUSDT) "
        "and underlyings (BTCUSDT): {rows}"
    )


@define
class Corrections:
    """Collects corrections, and reports each once."""

    _names: dict[Correction, dict[tuple[Market, str], list[str]]] = field(init=False, factory=dict)

    def tell(self, kind: Correction, market: Market, name: str, detail: str = "") -> None:
        """Add a correction; rows of a market with the same detail are reported together."""
        names = self._names.setdefault(kind, {}).setdefault((market, detail), [])
        if name not in names:
            names.append(name)

    def sentences(self) -> Iterator[str]:
        """Each kind of correction once, with what it applies to."""
        for kind in Correction:
            is_by_market = "{market}" in kind.value
            mentions: dict[str, list[str]] = {}
            for (market, detail), names in self._names.get(kind, {}).items():
                text = f"{', '.join(names)}{f' ({detail})' if detail else ''}"
                if is_by_market:
                    mentions.setdefault(market, []).append(text)
                else:
                    mentions.setdefault("", []).append(f"{market} {text}")
            for market_name, texts in mentions.items():
                yield kind.value.format(market=market_name, rows="; ".join(texts))
