"""Runs the checks over batches: all in one pass, and a second pass for a check that found bad rows.

Many small archives share a batch, so nothing here works archive by archive unless a check found
something. A large archive is split into several batches: the last row of each is carried over to
the next, so that steps from row to row are also checked across batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl
from attrs import define, field, frozen

from crypto_lakehouse.core.archive import Archive, DataType, Origin
from crypto_lakehouse.tables.quality.archive_checks import (
    Found,
    Span,
    band_findings,
    bounds_of,
    doubled,
    instant,
    origin_of,
    step_of,
    whole_findings,
)
from crypto_lakehouse.tables.quality.checks import checks_of
from crypto_lakehouse.tables.quality.findings import ArchiveQuality, Finding, Policy, Severity
from crypto_lakehouse.tables.quality.frozen import frozen_findings
from crypto_lakehouse.tables.quality.known_row_holes import KnownRowHole, KnownRowHoles, RowHole
from crypto_lakehouse.tables.quality.open_archive import OpenArchive
from crypto_lakehouse.tables.quality.row_check import RowCheck
from crypto_lakehouse.tables.quality.seams import id_edges
from crypto_lakehouse.tables.quality.tallies import cut_off_findings, merged, tallied
from crypto_lakehouse.tables.reading.batch import Batch, Piece, Source
from crypto_lakehouse.tables.schema.schemas import TableSchema

__all__ = ["Checked", "Inspector"]

_OWN = ("_piece", "_first", "_step", "_origin", "_from", "_to", "_tick")

#: The checks of holes that find missing ids.
_ID_CHECKS = frozenset({"id_continuity", "trade_id_continuity"})


@frozen(eq=False)
class Checked:
    """A batch after its checks.

    Attributes:
        frame: The rows to keep, in the order of the key within each archive.
        rows: How many rows of each piece are kept.
        qualities: The findings for the archives that ended in this batch.
    """

    frame: pl.DataFrame
    rows: tuple[int, ...]
    qualities: tuple[ArchiveQuality, ...]


@define
class Inspector:
    """Checks the archives of one table, batch after batch, in the order of the reader.

    Attributes:
        schema: The table.
        policies: What to do about findings, by check, if not the check's default.
        known: Holes that are known upstream.
    """

    schema: TableSchema
    policies: Mapping[str, Policy]
    known: KnownRowHoles
    _carried: pl.DataFrame | None = field(init=False, default=None)
    _open: dict[str, OpenArchive] = field(init=False, factory=dict)

    def forget(self, source: Source) -> None:
        """Drop the state of an archive that is unreadable."""
        self._open.pop(source.archive.key, None)
        self._carried = None

    def check(self, batch: Batch) -> Checked:
        """Check a batch."""
        frame = self._prepared(batch)
        carried = self._carry(batch, frame)
        ordered = self._ordered(batch, frame)
        frame = ordered if ordered is not None else frame
        seen = frame if carried is None else pl.concat([carried, frame])
        self._check_rows(batch, seen)
        frame, rows = self._check_repeats(batch, frame, seen)
        self._remember(batch, frame)
        if self.schema.data_type is DataType.BOOK_DEPTH:
            self._check_bands(batch, frame)
        qualities = tuple(self._ended(piece) for piece in batch.pieces if piece.ends)
        return Checked(frame.drop(_OWN), rows, qualities)

    def _prepared(self, batch: Batch) -> pl.DataFrame:
        """Add the columns that checks use; for a single archive they are literals."""
        pieces = batch.pieces
        counts = [piece.rows for piece in pieces]
        archives = [piece.source.archive for piece in pieces]
        bounds = [bounds_of(archive.period) for archive in archives]
        facts = {
            "_piece": ([*range(len(pieces))], pl.UInt32),
            "_step": ([step_of(archive) for archive in archives], pl.Int64),
            "_origin": ([_microseconds(origin_of(each)) for each in archives], pl.Int64),
            "_from": ([_microseconds(first) for first, _ in bounds], pl.Int64),
            "_to": ([_microseconds(after) for _, after in bounds], pl.Int64),
            "_tick": ([1 if piece.form.time_unit == "us" else 1000 for piece in pieces], pl.Int64),
        }
        if len(pieces) == 1:
            added = [pl.lit(values[0], kind).alias(name) for name, (values, kind) in facts.items()]
            first = pl.int_range(pl.len()) == 0
        else:
            spread = pl.DataFrame({name: pl.Series(values, dtype=kind)
                                   for name, (values, kind) in facts.items()})  # fmt: skip
            rows = spread.select(pl.all().repeat_by(pl.Series(counts)).explode())
            added = [rows[name].alias(name) for name in facts]  # type: ignore[misc]
            first = pl.col("_piece") != pl.col("_piece").shift(1, fill_value=len(pieces))
        return batch.frame.with_columns(added).with_columns(first.alias("_first"))

    def _carry(self, batch: Batch, frame: pl.DataFrame) -> pl.DataFrame | None:
        """The last row of the previous batch, if its archive continues in this one."""
        carried, self._carried = self._carried, None
        if batch.pieces[0].begins or carried is None:
            return None
        return carried.with_columns(
            pl.lit(0, pl.UInt32).alias("_piece"), pl.lit(value=True).alias("_first")
        ).select(frame.columns)

    def _ordered(self, batch: Batch, frame: pl.DataFrame) -> pl.DataFrame | None:
        """The rows sorted by key; None if they are sorted already."""
        keys = self.schema.key
        before, worse = pl.lit(value=True), pl.lit(value=False)
        for name in keys:
            worse = worse | (before & (pl.col(name) < pl.col(name).shift(1)))
            before = before & (pl.col(name) == pl.col(name).shift(1))
        bad = worse & ~pl.col("_first")
        if not frame.select(bad.any()).item():
            return None
        check = RowCheck(
            name="order",
            # No order is documented for rows of options.
            severity=Severity.INFO if self.schema.derives_time else Severity.WARNING,
            bad=bad,
            sentence="{rows} row[s] [is|are] out of order, "
            "for example {example}; rows are sorted in the table",
            source="binance-public-data#12, #288, #293",
        )
        self._look_closer(batch, frame, check)
        ordered = frame.sort("_piece", *keys, maintain_order=True)
        first = pl.col("_piece") != pl.col("_piece").shift(1, fill_value=len(batch.pieces))
        begins = first if batch.pieces[0].begins else first & (pl.col("_piece") > 0)
        return ordered.with_columns(begins.alias("_first"))

    def _check_rows(self, batch: Batch, seen: pl.DataFrame) -> None:
        checks = checks_of(self.schema)
        if seen.is_empty():
            return
        # The carried row was checked in its own batch; it only serves as the previous row here.
        extra = seen.height - sum(piece.rows for piece in batch.pieces)
        bad = [check.bad.slice(extra).any().alias(str(place)) for place, check in enumerate(checks)]
        found = seen.select(bad).row(0)
        for check, is_bad in zip(checks, found, strict=True):
            if is_bad:
                self._look_closer(batch, seen, check, extra)
        for place, tally in () if self.schema.recorded else tallied(self.schema, seen, extra):
            state = self._state(batch.pieces[place])
            state.tally = merged(state.tally, tally)

    def _look_closer(
        self, batch: Batch, seen: pl.DataFrame, check: RowCheck, extra: int = 0
    ) -> None:
        """Count one check's bad rows in each archive, with the first as an example."""
        weight = pl.lit(1) if check.weight is None else check.weight
        named = self._time() if check.name != "id_continuity" else pl.col(self.schema.key[0])
        bad = (
            seen.select(
                "_piece",
                check.bad.alias("bad"),
                weight.cast(pl.Int64).alias("weight"),
                named.alias("example"),
                self._time().alias("until"),
                self._time().shift(1).alias("since"),
            )
            .slice(extra)
            .filter(pl.col("bad"))
        )
        for place, *facts in bad.group_by("_piece", maintain_order=True).agg(
            pl.col("weight").sum(),
            pl.col("example").first(),
            pl.col("since").min(),
            pl.col("until").max(),
        ).iter_rows():  # fmt: skip
            self._note(batch.pieces[place], check, *facts)

    def _note(
        self,
        piece: Piece,
        check: RowCheck,
        rows: int,
        example: Any,
        since: datetime | None,
        until: datetime | None,
    ) -> None:
        shown = f"{example:%Y-%m-%d %H:%M:%S}" if isinstance(example, datetime) else str(example)
        found = Found(
            check.name,
            check.severity,
            rows,
            check.sentence,
            check.policy,
            check.source,
            (since, until) if check.is_hole and since and until else None,
            shown,
        )
        self._state(piece).add(found)

    def _check_repeats(
        self, batch: Batch, frame: pl.DataFrame, seen: pl.DataFrame
    ) -> tuple[pl.DataFrame, tuple[int, ...]]:
        """Find repeated rows, and drop them if that is the policy."""
        if not self.schema.unique:
            return self._check_doubled(batch, frame)
        same = ~pl.col("_first")
        for name in self.schema.key:
            same = same & (pl.col(name) == pl.col(name).shift(1))
        rows = tuple(piece.rows for piece in batch.pieces)
        if seen.is_empty() or not seen.select(same.any()).item():
            return frame, rows
        check = RowCheck(
            name="duplicates",
            severity=Severity.WARNING,
            bad=same,
            sentence="{rows} row[s] [has|have] the key of the row before [it|them], "
            "for example {example}",
            source="binance-public-data#353",
        )
        self._look_closer(batch, seen, check)
        if self.policies.get("duplicates") is not Policy.DROP:
            return frame, rows
        kept = frame.filter(~seen.select(same.slice(seen.height - frame.height)).to_series())
        return kept, _counted(kept, len(batch.pieces))

    def _check_doubled(
        self, batch: Batch, frame: pl.DataFrame
    ) -> tuple[pl.DataFrame, tuple[int, ...]]:
        """Find files in which every row is repeated, as in liquidations of um (#259)."""
        rows = tuple(piece.rows for piece in batch.pieces)
        plain = frame.drop(name for name in _OWN if name != "_piece")
        if not plain.is_duplicated().any():
            return frame, rows
        times = doubled(plain)
        odd = times.group_by("_piece").agg((pl.col("times") % 2 != 0).any().alias("odd"))
        whole = set(odd.filter(~pl.col("odd"))["_piece"].to_list())
        policy = self.policies.get("doubled_rows", Policy.DROP)
        dropped = pl.lit(value=False)
        for place, piece in enumerate(batch.pieces):
            if place in whole and piece.rows:
                sentence = "each of {rows} row[s] occurs twice"
                self._state(piece).add(
                    Found("doubled_rows", Severity.INFO, piece.rows // 2, sentence, policy,
                          "binance-public-data#259, #337")
                )  # fmt: skip
                dropped = dropped | (pl.col("_piece") == place)
        if policy is not Policy.DROP or not whole:
            return frame, rows
        values = list(plain.columns)
        nth = pl.int_range(pl.len()).over(values)
        half = pl.len().over(values) // 2
        kept = frame.filter(~dropped | (nth < half))
        return kept, _counted(kept, len(batch.pieces))

    def _check_bands(self, batch: Batch, frame: pl.DataFrame) -> None:
        for place, piece in enumerate(batch.pieces):
            part = frame if len(batch.pieces) == 1 else frame.filter(pl.col("_piece") == place)
            for found in band_findings(part):
                self._state(piece).add(found)

    def _remember(self, batch: Batch, frame: pl.DataFrame) -> None:
        """Record the first and last times, and carry over the last row of an unfinished archive."""
        times = {"first_at": self._time(), "last_at": self._time()}
        ids = {name: pl.col(column) for name, column in id_edges(self.schema).items()}
        edges = [
            (each.min() if name.startswith("first") else each.max()).alias(name)
            for name, each in (times | ids).items()
        ]
        if len(batch.pieces) == 1:
            found = frame.select(pl.lit(0).alias("_piece"), *edges)
        else:
            found = frame.group_by("_piece", maintain_order=True).agg(edges)
        for part in found.to_dicts():
            self._state(batch.pieces[part.pop("_piece")]).extend(part)
        for piece in batch.pieces:
            self._state(piece).rows += piece.rows
        if not batch.pieces[-1].ends and frame.height:
            self._carried = frame.tail(1)

    def _time(self) -> pl.Expr:
        if not self.schema.derives_time:
            return pl.col(self.schema.time)
        return pl.col("date").cast(pl.Datetime("us", "UTC")) + pl.duration(hours="hour")

    def _state(self, piece: Piece) -> OpenArchive:
        return self._open.setdefault(piece.source.archive.key, OpenArchive())

    def _ended(self, piece: Piece) -> ArchiveQuality:
        archive = piece.source.archive
        state = self._open.pop(archive.key, OpenArchive())
        edges = state.edges
        span = Span(state.rows, edges.get("first_at"), edges.get("last_at"))
        is_whole = archive.origin is not Origin.LIVE
        for found in (
            (
                *whole_findings(archive, span),
                *cut_off_findings(archive, span, edges.get("first_id"), state.tally),
                *frozen_findings(self.schema, state.tally),
            )
            if is_whole
            else ()
        ):
            state.add(found)
        return ArchiveQuality(
            key=archive.key,
            rows=state.rows,
            **edges,
            time_unit=piece.form.time_unit,
            header=piece.form.header,
            columns=piece.form.columns,
            proven_by=piece.form.proven_by,
            requests=piece.form.requests,
            findings=tuple(self._findings(piece, state.found.values())),
        )

    def _known(self, archive: Archive, found: Found) -> KnownRowHole | None:
        if found.hole is None:
            return None
        start, end = found.hole
        is_of_ids = found.check in _ID_CHECKS
        return self.known.explaining(
            RowHole(archive=archive, start=start, end=end, rows=found.rows, of_ids=is_of_ids)
        )

    def _findings(self, piece: Piece, found: Sequence[Found] | Any) -> Iterator[Finding]:
        archive = piece.source.archive
        for each in found:
            severity, sentence, source = each.severity, each.text, each.source
            known = self._known(archive, each)
            if known:
                severity, source = Severity.INFO, known.source
                sentence = f"{sentence}; known: {known.reason}"
            yield Finding(
                check=each.check,
                severity=severity,
                key=archive.key,
                rows=each.rows,
                sentence=sentence,
                policy=self.policies.get(each.check, each.policy),
                source=source,
            )


def _microseconds(when: datetime) -> int:
    return int((when - instant(0)).total_seconds()) * 1_000_000


def _counted(frame: pl.DataFrame, pieces: int) -> tuple[int, ...]:
    counts = dict(frame.group_by("_piece").len().iter_rows())
    return tuple(counts.get(place, 0) for place in range(pieces))
