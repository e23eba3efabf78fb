"""Read the two older matrix formats, and correct them to what the archive really has.

Both are still in use. What they state is compared row by row with the shipped matrix; a row
keeps its author's selection, never a fact that is wrong. Source: archive-facts 6.1 to 6.3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import define, evolve, field

from crypto_lakehouse.core.archive import DataType, Market, Partition
from crypto_lakehouse.core.errors import MatrixError, Problem
from crypto_lakehouse.core.suggestions import allowed_values
from crypto_lakehouse.planning.matrix import Matrix, MatrixRow
from crypto_lakehouse.planning.matrix_format import pattern_fault

__all__ = ["is_older", "read_older"]

_BUCKET = "s3://data.binance.vision/"
_RENAMED = {"premiumIndex": DataType.PREMIUM_INDEX_KLINES}
_PATTERNS = ("path_pattern", "url_pattern", "filename_pattern")

#: The longer klines, which exist by the month only (archive-facts 2.3).
_MONTHLY_ONLY = ("3d", "1w", "1mo")

#: Sentences, in the order in which they are told; {rows} is what each concerns.
_SENTENCES = {
    "renamed": "premiumIndex is called premiumIndexKlines and has intervals: {rows}",
    "never": "dropped, as the archive never had it: {rows}",
    "1M": "1M is written 1mo: {rows}",
    "interval": "dropped, as there is no such interval: {rows}",
    "folder": "dropped, as the type has no interval folders: {rows}",
    "monthly": "3d, 1w and 1mo exist by the month only: {rows}",
    "added": "3d, 1w and 1mo added, they exist by the month: {rows}",
    "partition": "dropped, as the type has no such partition: {rows}",
    "path": "the path or file name was not the archive's: {rows}",
    "from": "first days taken from the shipped matrix: {rows}",
    "to": "the feed has ended: {rows}",
    "removed": "the publisher has removed the feed: {rows}",
    "omitted": "added, as the flat rows leave out what the file's own tree has: {rows}",
    "symbols": "options are filed under index symbols and underlyings, not under: {rows}",
}


def is_older(data: Mapping[str, Any]) -> bool:
    """Whether a parsed file is in one of the older formats: its rows have patterns of theirs."""
    rows = data["availability_matrix"]
    return "format" not in data and any(
        isinstance(row, Mapping) and any(name in row for name in _PATTERNS) for row in rows
    )


def read_older(data: Mapping[str, Any], origin: str, shipped: Matrix) -> Matrix:
    """Read a parsed file of either older format.

    Raises:
        MatrixError: Rows that name nothing known, or patterns that could lead out of a
            directory; every fault is named.
    """
    reader = _Reader(shipped)
    for number, row in enumerate(data["availability_matrix"]):
        reader.read(row, f"$.availability_matrix[{number}]")
    if reader.problems:
        raise MatrixError(origin, reader.problems)
    if "markets" in data:
        reader.add_omitted()
    reader.check_symbols(data.get("symbols"))
    rows = tuple(row for row in (reader.rows.get(item.name) for item in shipped.rows) if row)
    return evolve(shipped, origin=origin, rows=rows, corrections=tuple(reader.sentences()))


@define
class _Reader:
    """Collects rows, what was corrected in them, and what cannot be corrected."""

    shipped: Matrix
    rows: dict[str, MatrixRow] = field(init=False, factory=dict)
    problems: list[Problem] = field(init=False, factory=list)
    corrected: dict[str, list[str]] = field(init=False, factory=dict)

    def sentences(self) -> Iterator[str]:
        """Each kind of correction once, with the rows that it concerns."""
        for kind, sentence in _SENTENCES.items():
            if kind in self.corrected:
                yield sentence.format(rows="; ".join(dict.fromkeys(self.corrected[kind])))

    def correct(self, kind: str, what: str) -> None:
        """Remember one correction."""
        self.corrected.setdefault(kind, []).append(what)

    def read(self, row: Any, path: str) -> None:  # noqa: ANN401 - whatever the file holds
        """Take one row of the file."""
        if not isinstance(row, Mapping):
            self.problems.append(Problem(path, "must be an object"))
            return
        faults = len(self.problems)
        self._check(row, path)
        market = self._word(row, "market", Market, path)
        name = row.get("data_type")
        data_type = _RENAMED.get(str(name)) or self._word(row, "data_type", DataType, path)
        if len(self.problems) > faults or row.get("available") is False:
            return
        fact = self.shipped.row(Market(market), DataType(data_type))
        if fact is None:
            self.correct("never", f"{market} {data_type}")
            return
        if name in _RENAMED:
            self.correct("renamed", fact.name)
        self.rows[fact.name] = self._corrected(row, fact)

    def _check(self, row: Mapping[str, Any], path: str) -> None:
        """Find what no correction can mend: wrong kinds, and patterns that lead elsewhere."""
        for name in ("intervals", "partitions"):
            if not isinstance(row.get(name), list):
                self.problems.append(Problem(f"{path}.{name}", "required: a list"))
        for name in _PATTERNS:
            pattern = row.get(name, "")
            fault = (
                pattern_fault(pattern.removeprefix(_BUCKET))
                if isinstance(pattern, str)
                else "must be text"
            )
            if fault:
                self.problems.append(Problem(f"{path}.{name}", fault))
        partitions = row.get("partitions")
        for name in partitions if isinstance(partitions, list) else ():
            if name not in list(Partition):
                hint = allowed_values(name, Partition)
                text = f"unknown partition `{name}`; {hint}"
                self.problems.append(Problem(f"{path}.partitions", text))

    def _word(
        self, row: Mapping[str, Any], name: str, allowed: type[Market | DataType], path: str
    ) -> str:
        word = row.get(name)
        if word not in list(allowed):
            hint = allowed_values(word, allowed)
            self.problems.append(Problem(f"{path}.{name}", f"unknown value `{word}`; {hint}"))
        return str(word)

    def _corrected(self, row: Mapping[str, Any], fact: MatrixRow) -> MatrixRow:
        """What the row's author selects of what there really is."""
        wanted = self._intervals(row, fact)
        partitions = {}
        for name in row["partitions"]:
            facts = fact.partitions.get(Partition(name))
            if facts is None:
                self.correct("partition", f"{fact.name} {name}")
            else:
                offered = tuple(item for item in facts.intervals if item in wanted)
                partitions[Partition(name)] = evolve(facts, intervals=offered)
        self._compare_pattern(row, fact)
        self._compare_life(row, fact)
        return evolve(fact, partitions=partitions or fact.partitions)

    def _intervals(self, row: Mapping[str, Any], fact: MatrixRow) -> tuple[str, ...]:
        """The row's intervals, those that exist; all of them where it names none."""
        given = [item for item in row["intervals"] if item not in (None, "raw")]
        if "1M" in given:
            self.correct("1M", fact.name)
        named = ["1mo" if item == "1M" else str(item) for item in given]
        if not fact.data_type.has_interval:
            if named:
                self.correct("folder", f"{fact.name} {' '.join(named)}")
            return ()
        offered = fact.intervals()
        absent = [item for item in named if item not in offered]
        if absent:
            self.correct("interval", f"{fact.name} {' '.join(absent)}")
        present = [item for item in named if item in offered]
        if Partition.DAILY in row["partitions"] and set(present) & set(_MONTHLY_ONLY):
            self.correct("monthly", fact.name)
        if "path_pattern" in row and present and not set(present) & set(_MONTHLY_ONLY):
            self.correct("added", fact.name)
            present += _MONTHLY_ONLY
        return tuple(item for item in offered if item in (present or offered))

    def _compare_pattern(self, row: Mapping[str, Any], fact: MatrixRow) -> None:
        """Compare folders, with the placeholders that both spellings know filled in."""
        given = str(row.get("path_pattern") or row.get("url_pattern") or "")
        given = given.removeprefix(_BUCKET).replace("{data_type}", fact.data_type)
        folder = fact.key_pattern.rpartition("/")[0]
        if given.rpartition("/")[0] != folder:
            self.correct("path", fact.name)

    def _compare_life(self, row: Mapping[str, Any], fact: MatrixRow) -> None:
        first = min(facts.available_from for facts in fact.partitions.values())
        daily = fact.partitions.get(Partition.DAILY)
        known = daily.available_from if daily else first
        given = row.get("available_from")
        if given is not None and given not in (str(first), str(known)):
            self.correct("from", f"{fact.name} {known}, not {given}")
        ends = [facts.available_to for facts in fact.partitions.values() if facts.available_to]
        if fact.state == "removed":
            self.correct("removed", fact.name)
        elif ends:
            self.correct("to", f"{fact.name} {min(ends)}")

    def add_omitted(self) -> None:
        """Add what format 1 has in its tree of markets, but not in its rows."""
        for fact in self.shipped.rows:
            if fact.name not in self.rows and fact.state != "removed":
                self.correct("omitted", fact.name)
                self.rows[fact.name] = fact

    def check_symbols(self, symbols: object) -> None:
        """Tell of option symbols that are no folders; no other symbol list is used."""
        options = symbols.get("options") if isinstance(symbols, Mapping) else None
        for symbol in options if isinstance(options, list) else ():
            known = [row for row in self.shipped.rows if symbol in row.symbols]
            if not known:
                self.correct("symbols", str(symbol))
