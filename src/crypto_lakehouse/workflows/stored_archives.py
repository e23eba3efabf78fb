"""The archives of a collected tree whose bytes are known to be good."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

from attrs import evolve, frozen

from crypto_lakehouse.collection.download.sidecar import SIDECAR_LIMIT_BYTES, parse_sidecar
from crypto_lakehouse.core.archive import SIDECAR_SUFFIX, Archive, Series
from crypto_lakehouse.core.errors import (
    ArchiveKeyError,
    SidecarMalformed,
    StoreError,
)
from crypto_lakehouse.core.protocols import LedgerRow
from crypto_lakehouse.core.verdicts import SUCCESSES
from crypto_lakehouse.ledger.coverage_view import parse_folder
from crypto_lakehouse.ledger.sqlite import SqliteLedger
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.stores.file_identity import FileIdentity, hash_identified, identity_of
from crypto_lakehouse.stores.state import existing_root
from crypto_lakehouse.stores.tree import key_folders
from crypto_lakehouse.workflows.arriving import ARRIVING, is_replaced

__all__ = ["StoredZip", "count_zips", "stored_series", "stored_zips"]


_UNPROVEN = "nothing proves it: no sidecar, and no ledger"
_GONE = "it is gone"
_CHANGES = "it changed while it was read"


@frozen
class StoredZip:
    """A zip of a tree.

    Attributes:
        archive: What it is.
        path: Its path.
        sha256: Its digest.
        fault: Why it must not be used; empty for good ones.
        is_arriving: Whether the fault is only that a collection has not settled it yet.
        identity: Of the version that has this digest: a collection may replace the file before its
            rows are read. None if it is not known, which is so for faulty ones.
    """

    archive: Archive
    path: Path
    sha256: str
    fault: str = ""
    is_arriving: bool = False
    identity: FileIdentity | None = None


def stored_zips(root: Path, wanted: Callable[[Archive], bool]) -> Iterator[StoredZip]:
    """Walk a tree and verify each selected archive; blocking.

    If the ledger has verified the very file that is stored, its digest is taken from the ledger,
    if that is the one that the sidecar names.
    Any other file is hashed and compared with the digest in the ledger or in the sidecar.
    A collection may run at the same time.

    Raises:
        ConfigurationError: `root` is not a directory.
        LedgerError: The ledger is there and cannot be read.
    """
    store = LocalStore(existing_root(root))
    path = store.own_path("ledger.sqlite")
    if not path.is_file():
        yield from _walk(store, None, wanted)
        return
    with closing(SqliteLedger.open_read_only(path)) as ledger:
        yield from _walk(store, ledger, wanted)


def count_zips(root: Path, wanted: Callable[[Archive], bool]) -> int:
    """Return how many archives `stored_zips` will yield if the tree does not change; blocking.

    Raises:
        ConfigurationError: `root` is not a directory.
    """
    return sum(len(found) for _, found in _folders(LocalStore(existing_root(root)), wanted))


def stored_series(root: Path) -> frozenset[Series]:
    """Return the series that have a folder in a tree, even an empty one; blocking.

    Raises:
        ConfigurationError: `root` is not a directory.
    """
    found = set()
    for folder in key_folders(existing_root(root)):
        with suppress(ArchiveKeyError):
            found.add(parse_folder(folder)[0])
    return frozenset(found)


def _walk(
    store: LocalStore, ledger: SqliteLedger | None, wanted: Callable[[Archive], bool]
) -> Iterator[StoredZip]:
    for folder, found in _folders(store, wanted):
        rows = {} if ledger is None else ledger.rows_now(folder)
        for archive in found:
            stored = _proven(store, archive, rows.get(archive.name))
            if stored.fault and ledger is not None:
                stored = _proven_now(store, ledger, stored)
            yield stored


def _proven_now(store: LocalStore, ledger: SqliteLedger, stored: StoredZip) -> StoredZip:
    """Judge a file once more, which a collection may have stored or settled meanwhile."""
    # In this order: a run that has ended has written all its rows.
    is_open = ledger.has_open_run()
    archive = stored.archive
    row = ledger.row_now(archive.folder, archive.name)
    again = _proven(store, archive, row)
    is_new = again.fault in {_UNPROVEN, _CHANGES}
    recorded = row.facts.sha256 if row is not None else None
    if not again.fault or not is_open or again.fault == _GONE:
        return again
    if is_new or is_replaced(store, ledger, archive.key, recorded):
        return evolve(again, fault=ARRIVING, is_arriving=True)
    return again


def _folders(
    store: LocalStore, wanted: Callable[[Archive], bool]
) -> Iterator[tuple[str, list[Archive]]]:
    """Yield each folder that has selected archives, with these."""
    for folder in key_folders(store.root):
        found = []
        for name in sorted(store.scan_now(folder).zips):
            try:
                archive = Archive.parse(folder + name)
            except ArchiveKeyError:
                continue
            if wanted(archive):
                found.append(archive)
        if found:
            yield folder, found


def _proven(store: LocalStore, archive: Archive, row: LedgerRow | None) -> StoredZip:
    path = Path(store.path(archive.key))
    recorded = row.facts.sha256 if row is not None else None
    named = row.facts.published_sha256 if row is not None else None
    is_verified = row is not None and row.verdict in SUCCESSES
    # Digests that differ may be a flipped bit: then the file shows which of them is its own.
    agree = named in {None, recorded}
    now = identity_of(str(path))
    is_described = now is not None and row is not None and row.facts.describes(now.stat)
    if is_described and recorded and is_verified and agree:
        return StoredZip(archive, path, recorded, identity=now)
    try:
        hashed = hash_identified(str(path))
    except StoreError as error:
        return StoredZip(archive, path, "", f"it cannot be read: {error.reason}")
    if hashed is None:
        return StoredZip(archive, path, "", _GONE)
    digest, identity = hashed
    if identity is None:
        return StoredZip(archive, path, digest, _CHANGES)
    good = StoredZip(archive, path, digest, identity=identity)
    if row is not None and row.accepted and recorded == digest:
        return good
    wanted = {recorded, named} - {None} if is_verified and recorded else set()
    if digest not in wanted:  # the row may be that of the version before
        wanted |= {_published(path)} - {None}
    if not wanted:
        return StoredZip(archive, path, digest, _UNPROVEN)
    if digest in wanted:
        return good
    return StoredZip(archive, path, digest, "its bytes are not those that were published")


def _published(path: Path) -> str | None:
    try:
        with Path(f"{path}{SIDECAR_SUFFIX}").open("rb") as file:
            return parse_sidecar(file.read(SIDECAR_LIMIT_BYTES + 1), path.name)
    except (OSError, SidecarMalformed):
        return None
