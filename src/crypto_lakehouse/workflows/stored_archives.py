"""The archives and segments of a store whose bytes are known to be good."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from functools import partial
from threading import Event
from typing import NamedTuple

from anyio import from_thread
from attrs import evolve

from crypto_lakehouse.core.archive import INTERVALS, Archive, Series
from crypto_lakehouse.core.errors import ArchiveKeyError, StoreError
from crypto_lakehouse.core.file_identity import StoredFiles
from crypto_lakehouse.core.ledger_protocols import LedgerRow
from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.core.origin import Origin
from crypto_lakehouse.core.protocols import KeepsSegments, Store
from crypto_lakehouse.ledger.coverage_view import parse_folder
from crypto_lakehouse.ledger.place import RunLedger
from crypto_lakehouse.stores.output import Output, Place, output_of
from crypto_lakehouse.workflows.arriving import ARRIVING, is_replaced
from crypto_lakehouse.workflows.proving import (
    CHANGES,
    GONE,
    UNPROVEN,
    StoredZip,
    prove,
    proven_by_ledger,
)
from crypto_lakehouse.workflows.stored_folders import check_there, folders_of
from crypto_lakehouse.workflows.wiring.ledgers import ledger_at

__all__ = ["StoredZip", "count_zips", "may_hold", "stored_series", "stored_zips"]

#: Called with the key prefix of a folder that cannot be read, and why not.
OnUnreadable = Callable[[str, str], None]

#: How many archives may wait behind one that is being hashed, for each request at once.
_WAITING = 4

#: Seconds between checks for cancellation while an archive is hashed.
_CHECKED_EVERY_S = 0.2


class _EndedError(Exception):
    """The run has ended; raised in the threads that hash archives."""


def _refuse(folder: str, reason: str) -> None:
    raise StoreError(folder, reason)


def stored_zips(
    place: Place, wanted: Callable[[Archive], bool], on_unreadable: OnUnreadable = _refuse
) -> Iterator[StoredZip]:
    """Walk the archives and segments of an output, and verify each selected one; in a thread.

    If the ledger has verified the very file that is stored, its digest is taken from the ledger,
    if that is the one that the sidecar names.
    Any other file is hashed and compared with the digest in the ledger or in the sidecar; in an
    object store, several at once. A segment is compared with its sidecar.
    A collection may run at the same time.

    Args:
        place: The output.
        wanted: Whether an archive is selected.
        on_unreadable: Called with each folder that cannot be read.

    Raises:
        ConfigurationError: `place` is not a directory, or there is neither an archive nor a ledger
            at its URL.
        LedgerError: The ledger is there and cannot be read.
        StoreError: The object store failed; or a folder cannot be read, and `on_unreadable` is not
            given.
    """
    output = output_of(place)
    check_there(output)
    known = ledger_at(output)
    if not known.exists():
        yield from _walk(output, None, wanted, on_unreadable)
        return
    with closing(known.open_read_only()) as ledger:
        yield from _walk(output, ledger, wanted, on_unreadable)


def count_zips(place: Place, wanted: Callable[[Archive], bool]) -> int:
    """Return how many archives `stored_zips` will yield if nothing changes; blocking.

    Raises:
        ConfigurationError: As `stored_zips`.
        StoreError: The object store failed.
    """
    output = output_of(place)
    check_there(output)
    archives = sum(len(found) for _, found in _folders(output.store, wanted, lambda *_: None))
    return archives + sum(1 for _ in _segments(output.store, wanted, lambda *_: None))


def may_hold(folder: str, selects: Callable[[Series], bool]) -> bool:
    """Whether a folder that cannot be read may have archives of a selected series."""
    found = set()
    for each in (folder, *(f"{folder}{interval}/" for interval in INTERVALS)):
        with suppress(ArchiveKeyError):
            found.add(parse_folder(each)[0])
    # A folder of all symbols gives series of symbols like `1h`, and is of no series itself.
    names = folder.split("/")
    series = {each for each in found if each.symbol in names}
    return not series or any(map(selects, series))


def stored_series(place: Place) -> frozenset[Series] | None:
    """Return the series that have a folder or a segment in an output; blocking.

    Returns:
        The series; None if a folder cannot be read, which may have any others.

    Raises:
        ConfigurationError: As `stored_zips`.
        StoreError: The object store failed.
    """
    output = output_of(place)
    check_there(output)
    found = set()
    unreadable: list[str] = []
    for folder in folders_of(output.store, unreadable.append):
        with suppress(ArchiveKeyError):
            found.add(parse_folder(folder)[0])
    segments = _segments(output.store, lambda _: True, lambda folder, _: unreadable.append(folder))
    found.update(archive.series for archive, _ in segments)
    return None if unreadable else frozenset(found)


class _Found(NamedTuple):
    """A zip that a scan has found, and what the ledger knows of its archive."""

    archive: Archive
    listed: FileStat
    row: LedgerRow | None


def _walk(
    output: Output,
    ledger: RunLedger | None,
    wanted: Callable[[Archive], bool],
    on_unreadable: OnUnreadable,
) -> Iterator[StoredZip]:
    files = output.files
    found = _each(output.store, ledger, wanted, on_unreadable)
    with _judging(files) as judged:
        for stored in judged(found):
            if stored.fault and ledger is not None:
                yield _judge_again(output.store, ledger, stored)
            else:
                yield stored


def _each(
    store: Store,
    ledger: RunLedger | None,
    wanted: Callable[[Archive], bool],
    on_unreadable: OnUnreadable,
) -> Iterator[_Found]:
    for folder, found in _folders(store, wanted, on_unreadable):
        rows = {} if ledger is None else ledger.rows_now(folder)
        for archive, listed in found:
            yield _Found(archive, listed, rows.get(archive.name))
    for archive, listed in _segments(store, wanted, on_unreadable):
        yield _Found(archive, listed, None)


_Judged = Callable[[Iterator[_Found]], Iterator[StoredZip]]


@contextmanager
def _judging(files: StoredFiles) -> Iterator[_Judged]:
    """Judge archives in order; several at once if to read one costs a request."""
    if files.requests_ahead == 0:
        yield partial(map, partial(_judge, files))
        return
    ended = Event()

    def check() -> None:
        if ended.is_set():
            raise _EndedError

    with ThreadPoolExecutor(files.requests_ahead, "prove") as pool:
        try:
            yield partial(_judge_ahead, files, pool, check)
        finally:
            ended.set()
            pool.shutdown(cancel_futures=True)


def _judge(files: StoredFiles, found: _Found) -> StoredZip:
    archive, listed, row = found
    proven = proven_by_ledger(files, archive, row, listed)
    return proven or prove(files, archive, row, from_thread.check_cancelled)


def _judge_ahead(
    files: StoredFiles,
    pool: ThreadPoolExecutor,
    check: Callable[[], None],
    found: Iterator[_Found],
) -> Iterator[StoredZip]:
    waiting: deque[StoredZip | Future[StoredZip]] = deque()
    for archive, listed, row in found:
        proven = proven_by_ledger(files, archive, row, listed)
        waiting.append(proven or pool.submit(prove, files, archive, row, check))
        while len(waiting) > _WAITING * files.requests_ahead or isinstance(waiting[0], StoredZip):
            yield _result(waiting.popleft())
            if not waiting:
                break
    yield from map(_result, waiting)


def _result(judged: StoredZip | Future[StoredZip]) -> StoredZip:
    """Wait for a result, unless the run is cancelled."""
    while isinstance(judged, Future) and not judged.done():
        with suppress(TimeoutError):
            judged.result(_CHECKED_EVERY_S)
        from_thread.check_cancelled()
    return judged.result() if isinstance(judged, Future) else judged


def _judge_again(store: Store, ledger: RunLedger, stored: StoredZip) -> StoredZip:
    """Judge a file once more, which a collection may have stored or settled meanwhile."""
    # In this order: a run that has ended has written all its rows.
    is_open = ledger.has_open_run()
    archive, files = stored.archive, stored.files
    row = ledger.row_now(archive.folder, archive.name)
    again = proven_by_ledger(files, archive, row)
    again = again or prove(files, archive, row, from_thread.check_cancelled)
    # A segment of another version follows its sidecar.
    is_new = again.fault in {UNPROVEN, CHANGES} or archive.origin is not Origin.ARCHIVE
    recorded = row.facts.sha256 if row is not None else None
    if not again.fault or not is_open or again.fault == GONE:
        return again
    if is_new or is_replaced(store, ledger, archive.key, recorded):
        return evolve(again, fault=ARRIVING, is_arriving=True)
    return again


def _segments(
    store: Store, wanted: Callable[[Archive], bool], on_unreadable: OnUnreadable
) -> Iterator[tuple[Archive, FileStat]]:
    """Yield each selected segment."""
    for key, stat in store.segments(on_unreadable) if isinstance(store, KeepsSegments) else ():
        with suppress(ArchiveKeyError):
            archive = Archive.parse(key)
            if wanted(archive):
                yield archive, stat


def _folders(
    store: Store, wanted: Callable[[Archive], bool], on_unreadable: OnUnreadable
) -> Iterator[tuple[str, list[tuple[Archive, FileStat]]]]:
    """Yield each folder that has selected archives, with these."""
    for folder in folders_of(store):
        found = []
        try:
            zips = store.scan_now(folder).zips
        except StoreError as error:
            if error.stops_run:
                raise
            on_unreadable(folder, f"it cannot be read: {error.reason}")
            continue
        for name in sorted(zips):
            try:
                archive = Archive.published(folder + name)
            except ArchiveKeyError:
                continue
            if wanted(archive):
                found.append((archive, FileStat(*zips[name])))
        if found:
            yield folder, found
