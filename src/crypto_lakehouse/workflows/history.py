"""What the publisher replaced, and how to restore it."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import BinaryIO

from attrs import frozen

from crypto_lakehouse.core.archive import SIDECAR_SUFFIX, Archive
from crypto_lakehouse.core.errors import ConfigurationError, Problem, StoreError
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.core.protocols import Store
from crypto_lakehouse.ledger import history
from crypto_lakehouse.ledger.history import Change, Version
from crypto_lakehouse.stores.directory import OWN_FOLDER, LocalStore
from crypto_lakehouse.stores.os_errors import NOT_ALLOWED, as_store_errors, what_to_do
from crypto_lakehouse.stores.state import existing_root
from crypto_lakehouse.stores.whole_file import replaces_file, whole_file

__all__ = [
    "PruneResult",
    "bytes_path",
    "changes_since",
    "history_of",
    "parse_moment",
    "prune_replaced",
    "restore",
    "version_at",
]

_STEP_BYTES = 1 << 20


@frozen
class PruneResult:
    """What pruning removed: files, sidecars not counted, and their bytes."""

    files: int
    size_bytes: int


def _ledger(output_directory: str | os.PathLike[str]) -> Path:
    path = existing_root(output_directory) / OWN_FOLDER / "ledger.sqlite"
    if not path.is_file():
        reason = f"`{output_directory}` has no ledger; only `collect` makes one"
        raise ConfigurationError([Problem("$.output_directory", reason)])
    return path


def _archive(output_directory: str | os.PathLike[str], key: str) -> Archive:
    """Read a key, a sidecar's key, or a path below the output directory."""
    text = key.removesuffix(SIDECAR_SUFFIX)
    root = Path(output_directory).expanduser().absolute()
    path = Path(text).absolute()
    if not text.startswith("data/") and path.is_relative_to(root):
        text = path.relative_to(root).as_posix()
    return Archive.parse(text)


def parse_moment(text: str) -> datetime:
    """Read a UTC day, which means its end, or a time in ISO 8601, UTC unless it has an offset.

    Raises:
        ValueError: It is neither.
    """
    try:
        end = datetime.combine(date.fromisoformat(text), time(), UTC) + timedelta(days=1)
        return end - timedelta(seconds=1)
    except ValueError:
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def history_of(output_directory: str | os.PathLike[str], key: str) -> list[Version]:
    """Every version of an archive, oldest first; blocking.

    Raises:
        ArchiveKeyError: `key` is not a key of the archive.
        ConfigurationError: There is no ledger, or it does not know the archive.
        LedgerError: The ledger cannot be read.
    """
    path, archive = _ledger(output_directory), _archive(output_directory, key)
    versions = history.versions_of(path, archive)
    if versions:
        return versions
    count, first, last = history.known_names(path, archive)
    known = f"its folder has {plural(count, 'archive')}, {first} to {last}" if count else (
        f"nothing of `{archive.folder}` either"
    )  # fmt: skip
    reason = f"`{archive.key}` was never seen here; {known}"
    raise ConfigurationError([Problem("KEY", reason)])


def changes_since(output_directory: str | os.PathLike[str], day: date) -> Iterator[Change]:
    """Every change since the beginning of a UTC day, in the order of recording; blocking.

    Raises:
        ConfigurationError: There is no ledger.
        LedgerError: The ledger cannot be read.
    """
    return history.changes_since(_ledger(output_directory), day)


def version_at(output_directory: str | os.PathLike[str], key: str, moment: datetime) -> Version:
    """Return the version that was in force at a given time.

    Raises:
        ConfigurationError: There was none; and as `history_of`.
    """
    versions = history_of(output_directory, key)
    version = history.version_as_of(versions, moment)
    if version is None:
        first = versions[0].first_seen_at
        reason = f"no version of `{versions[0].key}` was stored here then; first seen {first}"
        raise ConfigurationError([Problem("--as-of", reason)])
    return version


def bytes_path(output_directory: str | os.PathLike[str], version: Version) -> Path:
    """Return where a version's bytes are.

    Versions that differ only in their date or ETag have the same bytes, in any of their places.

    Raises:
        StoreError: The bytes were not kept, were removed, or cannot be read.
    """
    store = LocalStore(Path(output_directory))
    for place in _places(output_directory, version):
        path = Path(store.path(place))
        with as_store_errors(str(path)):
            if path.is_file():
                return path
    raise StoreError(version.key, "the bytes of this version were not kept, or were pruned")


def _places(output_directory: str | os.PathLike[str], version: Version) -> list[str]:
    same = [
        item for item in history_of(output_directory, version.key) if item.sha256 == version.sha256
    ]
    kept = [item.kept_as for item in same if item.kept_as]
    return kept + [item.key for item in same if item.is_current and item.is_stored]


def restore(
    output_directory: str | os.PathLike[str],
    key: str,
    moment: datetime,
    target: Path | BinaryIO,
    *,
    overwrite: bool = False,
) -> Version:
    """Write out the bytes that an archive had at a given time; blocking.

    Args:
        output_directory: Where the archives are.
        key: The archive's.
        moment: Aware.
        target: A file, written whole or not at all; or a stream.
        overwrite: Whether a file that exists may be replaced.

    Raises:
        ConfigurationError: No version was in force then, or the target exists, or cannot be
            written.
        StoreError: The bytes were not kept, or are no longer what was verified.
    """
    version = version_at(output_directory, key, moment)
    with _open_checked(output_directory, version) as stored:
        if isinstance(target, Path):
            _write(stored, target, overwrite=overwrite)
        else:
            shutil.copyfileobj(stored, target, _STEP_BYTES)
    return version


def _write(stored: BinaryIO, target: Path, *, overwrite: bool) -> None:
    if replaces_file(target) and not overwrite:
        raise ConfigurationError([Problem("--write", f"`{target}` exists; --force replaces it")])
    try:
        with whole_file(target) as file:
            shutil.copyfileobj(stored, file, _STEP_BYTES)
    except OSError as error:
        if error.errno in NOT_ALLOWED:
            reason = f"`{target}` cannot be written: {error.strerror}"
            raise ConfigurationError([Problem("--write", reason)]) from error
        raise StoreError(str(target), what_to_do(error, str(target))) from error


def _open_checked(output_directory: str | os.PathLike[str], version: Version) -> BinaryIO:
    """Open the bytes of a version, and check them; the caller must close the file.

    A collection may replace the version meanwhile: then its bytes are among the replaced ones,
    before the ledger says so. What is open stays what was checked.
    """
    path = bytes_path(output_directory, version)
    file, actual = _open_hashed(path)
    if version.sha256 in {None, actual}:
        return file
    file.close()
    store = LocalStore(Path(output_directory))
    for kept in store.kept_versions():
        if (kept.key, kept.sha256) == (version.key, version.sha256):
            file, digest = _open_hashed(Path(store.path(kept.place)))
            if digest == version.sha256:
                return file
            file.close()
    reason = f"its SHA-256 is {actual}, the ledger says {version.sha256}; it is not written out"
    raise StoreError(str(path), reason)


def _open_hashed(path: Path) -> tuple[BinaryIO, str]:
    with as_store_errors(str(path)), ExitStack() as opened:
        file = opened.enter_context(path.open("rb"))
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        opened.pop_all()
        return file, digest


def prune_replaced(
    output_directory: str | os.PathLike[str],
    *,
    older_than_days: int,
    today: date,
    store: Store | None = None,
) -> PruneResult:
    """Remove the bytes of versions that were replaced before a given age; blocking.

    The caller must hold the output lock. Versions stay in the history, without their bytes.

    Args:
        output_directory: Where the archives are.
        older_than_days: 0 removes all.
        today: The UTC day to count from.
        store: Keeps the bytes; the output directory by default.

    Raises:
        ConfigurationError: There is no ledger.
        StoreError: A file cannot be removed, or is outside the store.
    """
    path = _ledger(output_directory)
    store = LocalStore(Path(output_directory)) if store is None else store
    kept = history.kept_before(path, today, older_than_days)
    removed = [size for _, place in kept if (size := store.remove_kept(place)) is not None]
    history.forget_kept(path, [row for row, _ in kept])
    return PruneResult(len(removed), sum(removed))
