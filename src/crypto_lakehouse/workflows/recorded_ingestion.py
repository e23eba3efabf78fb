"""Brings the segments of recordings of an output into tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from crypto_lakehouse.core.archive import Archive, DataType, Market, Origin
from crypto_lakehouse.core.data_types import data_type_of
from crypto_lakehouse.core.errors import ArchiveKeyError, SegmentError, StoreError
from crypto_lakehouse.core.live_keys import live_stream_at
from crypto_lakehouse.core.messages import agreeing, plural
from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.core.protocols import KeepsSegments, Store
from crypto_lakehouse.version import __version__
from crypto_lakehouse.workflows.lake_config import LakeConfig

if TYPE_CHECKING:
    from crypto_lakehouse.tables.live.excerpt_files import ExcerptFiles, SplitSegment
    from crypto_lakehouse.tables.live.excerpts import Excerpt

__all__ = [
    "RecordedIngestion",
    "has_recordings",
    "left_out_note",
    "recorded_keys",
]

#: Segments are split, ingested and recorded in batches of at most this size: so much is on the disk
#: as excerpts, and is read again if the run is killed.
_BATCH_BYTES = 256 << 20
_BATCH_SEGMENTS = 500

OnUnreadable = Callable[[str, str], None]

_Table = tuple[Market, DataType]


def recorded_keys(store: Store, on_unreadable: OnUnreadable) -> Iterator[tuple[str, FileStat]]:
    """Yield key and stat of each segment of a recording; blocking.

    Args:
        store: Has the segments.
        on_unreadable: Called with each folder that cannot be read, and the reason.
    """
    if isinstance(store, KeepsSegments):
        yield from store.segments(on_unreadable, Origin.LIVE)


def has_recordings(store: Store) -> bool:
    """Whether a store has a segment of a recording; blocking."""
    return next(recorded_keys(store, lambda *_: None), None) is not None


def _table_of(key: str) -> _Table | None:
    """The market and the data type of a segment, by its folder; None if it is in none."""
    stream = live_stream_at(key)
    return None if stream is None else (stream[0], data_type_of(stream[1]))


@frozen
class _Waiting:
    """A segment that the lake does not have."""

    key: str
    size_bytes: int
    fault: str | None = None
    """Why the lake does not have it, as the lake has recorded it; None if it has not."""


@define
class RecordedIngestion:
    """Ingests the segments that a lake does not have.

    Attributes:
        config: What is selected.
        store: Has the segments.
        catalog: The lake's tables.
        files: Splits segments, and reads their excerpts.
        ingest: Ingests sources of a table, and returns the keys of those that must be tried again.
        on_fault: Called with the key of a segment that cannot be read, its state and the reason.
        on_unreadable: Called with each folder that cannot be read, and the reason.
        check: Called regularly; may raise to cancel.
        on_found: Called for each excerpt.
        keys: The segments that are looked at; None for all of the store.
    """

    config: LakeConfig
    store: Store
    catalog: Any
    files: ExcerptFiles
    ingest: Callable[[_Table, Sequence[Any]], frozenset[str]]
    on_fault: Callable[[str, str, str], None]
    on_unreadable: OnUnreadable
    check: Callable[[], None]
    on_found: Callable[[], None]
    keys: Collection[str] | None = None
    _bad: int = field(init=False, default=0)
    _example: str = field(init=False, default="")
    _refused: list[dict[str, Any]] = field(init=False, factory=list)

    def run(self) -> tuple[str, ...]:
        """Ingest all new segments; return remarks for the reader.

        Raises:
            LakeError: The lake cannot be read or written.
            StoreError: The object store failed.
        """
        for batch in self._batches():
            self._ingest(batch)
        if not self._bad:
            return ()
        count = agreeing(self._bad, f"{self._bad:,} recorded message[s] [is|are] no row[s]")
        return (f"{count} ({self._example}); `lakehouse.recordings` has their number by reason",)

    def _batches(self) -> Iterator[list[_Waiting]]:
        batch: list[_Waiting] = []
        size = 0
        for each in self._waiting():
            batch.append(each)
            size += each.size_bytes
            if size >= _BATCH_BYTES or len(batch) >= _BATCH_SEGMENTS:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _waiting(self) -> Iterator[_Waiting]:
        from crypto_lakehouse.tables.ingest.recordings import recorded_segments

        known = {} if self.config.again else recorded_segments(self.catalog, self.keys)
        for key, size_bytes in self._there():
            self.check()
            table = _table_of(key)
            if table is None or not self._selects(table):
                continue
            recorded = known.get(key)
            # A segment never gets another content under its name, unless it is repaired.
            if recorded is None or recorded.size_bytes != size_bytes:
                yield _Waiting(key, size_bytes)
            elif recorded.state != "ingested":  # it may be repaired, in the same size
                yield _Waiting(key, size_bytes, recorded.fault)

    def _there(self) -> Iterator[tuple[str, int]]:
        """Key and size of each segment that is looked at and is there."""
        if self.keys is None:
            for key, stat in recorded_keys(self.store, self.on_unreadable):
                yield key, stat.size_bytes
            return
        for key in sorted(self.keys):
            identity = self.files.identity(key)
            if identity is not None:
                yield key, identity.size_bytes

    def _selects(self, table: _Table) -> bool:
        market, data_type = table
        config = self.config
        return (config.markets is None or market in config.markets) and (
            config.data_types is None or data_type in config.data_types
        )

    def _ingest(self, batch: list[_Waiting]) -> None:
        from crypto_lakehouse.tables.ingest.recordings import ingested_row, record_segments

        found = {each.key: split for each in batch if (split := self._split(each)) is not None}
        sources: dict[_Table, list[Any]] = defaultdict(list)
        for split in found.values():
            for source in self._sources(split):
                sources[source.archive.market, source.archive.data_type].append(source)
        unsettled = frozenset[str]().union(
            *(self.ingest(table, some) for table, some in sorted(sources.items()))
        )
        done = {
            key: split
            for key, split in found.items()
            if all(self._is_done(each.archive, unsettled) for each in split.split.excerpts)
        }
        refused, self._refused = self._refused, []
        rows = [ingested_row(key, split, tool_version=__version__) for key, split in done.items()]
        record_segments(self.catalog, [*rows, *refused])
        for key, split in found.items():
            self._note(split)
            self.files.forget(key)

    def _split(self, waiting: _Waiting) -> SplitSegment | None:
        self.check()
        key = waiting.key
        try:
            return self.files.split(key)
        except SegmentError as error:
            self.on_fault(key, "refused", error.reason)
            if error.reason != waiting.fault:
                self._refuse(waiting, error.reason)
        except StoreError as error:
            if error.stops_run:
                raise
            self.on_fault(key, "held_back", f"it cannot be read: {error.reason}")
        return None

    def _refuse(self, waiting: _Waiting, fault: str) -> None:
        from crypto_lakehouse.tables.ingest.recordings import refused_row

        with suppress(ArchiveKeyError):  # a file with another name
            row = refused_row(waiting.key, waiting.size_bytes, fault, tool_version=__version__)
            self._refused.append(row)

    def _sources(self, found: SplitSegment) -> Iterator[Any]:
        from crypto_lakehouse.tables.reading.batch import Source

        for each in found.split.excerpts:
            if self.config.selects(each.archive):
                self.on_found()
                yield Source(
                    each.archive, self.files, found.sha256, found.identity, _keys_of(each),
                    each.path.stat().st_size,
                )  # fmt: skip

    def _is_done(self, archive: Archive, unsettled: frozenset[str]) -> bool:
        return archive.key not in unsettled and self.config.selects(archive)

    def _note(self, found: SplitSegment) -> None:
        bad: Mapping[str, Any] = found.split.bad
        self._bad += sum(each.messages for each in bad.values())
        if bad and not self._example:
            reason, first = next(iter(bad.items()))
            self._example = f"the first in line {first.line} of a segment: {reason}"


def _keys_of(excerpt: Excerpt) -> tuple[Any, Any]:
    """The smallest and the largest value of the first column of an excerpt's key."""
    from crypto_lakehouse.segments.live_segment import moment_of
    from crypto_lakehouse.tables.schema.schemas import schema_of

    schema = schema_of(excerpt.archive)
    column = next(each for each in schema.columns if each.name == schema.key[0])
    first, last = excerpt.first_key[0], excerpt.last_key[0]
    return (moment_of(first), moment_of(last)) if column.kind == "time" else (first, last)


def left_out_note(count: int) -> str:
    """Say that plain Parquet files have no recordings."""
    return (
        f"{plural(count, 'segment')} of recordings left out: plain Parquet files have the rows of "
        "archives and fills only; use `--format iceberg` in another directory"
    )
