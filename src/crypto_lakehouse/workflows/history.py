"""What the publisher replaced, and how to restore it."""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import BinaryIO

from attrs import frozen

from crypto_lakehouse.core.archive import SIDECAR_SUFFIX, Archive
from crypto_lakehouse.core.errors import ConfigurationError, LedgerError, Problem, StoreError
from crypto_lakehouse.core.messages import plural, shown
from crypto_lakehouse.core.os_error_hints import NOT_ALLOWED
from crypto_lakehouse.core.protocols import Store
from crypto_lakehouse.ledger import history
from crypto_lakehouse.ledger.history import Change, Version
from crypto_lakehouse.ledger.place import LedgerPlace
from crypto_lakehouse.ledger.soundness import is_kept_place
from crypto_lakehouse.stores.os_errors import as_store_errors, what_to_do
from crypto_lakehouse.stores.output import Output, Place, output_of
from crypto_lakehouse.stores.whole_file import replaces_file, whole_file
from crypto_lakehouse.workflows.wiring.ledgers import ledger_at
from crypto_lakehouse.workflows.wiring.lost_ledger import read_copy_if_lost

__all__ = [
    "PruneResult",
    "bytes_place",
    "changes_since",
    "history_of",
    "ledger_of",
    "parse_moment",
    "prune_replaced",
    "restore",
    "version_at",
]

_STEP_BYTES = 1 << 20

#: Errors for a name under which no file can be written.
_NO_TARGET = NOT_ALLOWED | {
    errno.EISDIR, errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL, errno.ENAMETOOLONG,
}  # fmt: skip


@frozen
class PruneResult:
    """What pruning removed.

    Attributes:
        files: How many files, sidecars not counted.
        size_bytes: Their bytes.
        problems: What could not be removed, or is not in a place where a run keeps it, and why.
    """

    files: int
    size_bytes: int
    problems: tuple[str, ...] = ()


def ledger_of(output: Output) -> LedgerPlace:
    """Return the place of an output's ledger.

    Raises:
        ConfigurationError: There is none.
    """
    output.check()
    ledger = ledger_at(output)
    if not ledger.exists():
        raise ConfigurationError([Problem("$.output_directory", output.needs_ledger())])
    return ledger


def _ledger_to_read(output: Output) -> LedgerPlace:
    """Return the place of an output's ledger, or of its copy if it is lost."""
    output.check()
    read_copy_if_lost(output)
    return ledger_of(output)


def _archive(output: Output, key: str) -> Archive:
    """Read a key, a sidecar's key, or an archive's path or URL below the output."""
    text = key.removesuffix(SIDECAR_SUFFIX)
    if output.is_url or text.startswith("data/"):
        return Archive.published(text.removeprefix(f"{output.place}/"))
    path = Path(text).absolute()
    if path.is_relative_to(output.state.root):
        text = path.relative_to(output.state.root).as_posix()
    return Archive.published(text)


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


def history_of(place: Place, key: str) -> list[Version]:
    """Every version of an archive, oldest first; blocking.

    Raises:
        ArchiveKeyError: `key` is not a key of the archive.
        ConfigurationError: There is no ledger, or it does not know the archive.
        LedgerError: The ledger cannot be read.
        StoreError: The object store fails to give the copy of a ledger that is lost.
    """
    output = output_of(place)
    ledger, archive = _ledger_to_read(output), _archive(output, key)
    versions = history.versions_of(ledger, archive)
    if versions:
        return versions
    count, first, last = history.known_names(ledger, archive)
    known = f"its folder has {plural(count, 'archive')}, {first} to {last}" if count else (
        f"nothing of `{archive.folder}` either"
    )  # fmt: skip
    reason = f"`{archive.key}` was never seen here; {known}"
    raise ConfigurationError([Problem("KEY", reason)])


def changes_since(place: Place, day: date) -> Iterator[Change]:
    """Every change since the beginning of a UTC day, in the order of recording; blocking.

    Raises:
        ConfigurationError: There is no ledger.
        LedgerError: The ledger cannot be read.
        StoreError: The object store fails to give the copy of a ledger that is lost.
    """
    return history.changes_since(_ledger_to_read(output_of(place)), day)


def version_at(place: Place, key: str, moment: datetime) -> Version:
    """Return the version that was in force at a given time.

    Raises:
        ConfigurationError: There was none; and as `history_of`.
    """
    versions = history_of(place, key)
    version = history.version_as_of(versions, moment)
    if version is None:
        first = versions[0].first_seen_at
        reason = f"no version of `{versions[0].key}` was stored here then; first seen {first}"
        raise ConfigurationError([Problem("--as-of", reason)])
    return version


def bytes_place(place: Place, version: Version) -> str:
    """Return the path or the URL of a version's bytes; blocking.

    Versions that differ only in their date or ETag have the same bytes, in any of their places.

    Raises:
        StoreError: The bytes were not kept, were removed, or cannot be read.
    """
    output = output_of(place)
    return f"{output.place}/{_bytes_key(output, version)}"


def _bytes_key(output: Output, version: Version) -> str:
    same = [item for item in history_of(output, version.key) if item.sha256 == version.sha256]
    kept = [item.kept_as for item in same if item.kept_as]
    for key in [*kept, *(item.key for item in same if item.is_current and item.is_stored)]:
        folder, _, name = key.rpartition("/")
        if name in output.store.scan_now(f"{folder}/").zips:
            return key
    raise StoreError(version.key, "the bytes of this version were not kept, or were pruned")


def restore(
    place: Place,
    key: str,
    moment: datetime,
    target: Path | BinaryIO,
    *,
    overwrite: bool = False,
) -> Version:
    """Write out the bytes that an archive had at a given time; blocking.

    Args:
        place: Where the archives are.
        key: The archive's.
        moment: Aware.
        target: A file, written whole or not at all; or a stream.
        overwrite: Whether a file that exists may be replaced.

    Raises:
        ConfigurationError: No version was in force then, or the target exists, or cannot be
            written.
        StoreError: The bytes were not kept, or are no longer what was verified.
    """
    output = output_of(place)
    version = version_at(output, key, moment)
    with _open_checked(output, version) as stored:
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
        if error.errno in _NO_TARGET:
            reason = f"`{target}` cannot be written: {error.strerror}"
            raise ConfigurationError([Problem("--write", reason)]) from error
        raise StoreError(str(target), what_to_do(error, str(target))) from error


def _open_checked(output: Output, version: Version) -> BinaryIO:
    """Open the bytes of a version, and check them; the caller must close the file.

    A collection may replace the version meanwhile: then its bytes are among the replaced ones,
    before the ledger says so. What is open stays what was checked.
    """
    key = _bytes_key(output, version)
    file, actual = _open_hashed(output, key)
    if version.sha256 in {None, actual}:
        return file
    file.close()
    for kept in output.store.kept_versions():
        if (kept.key, kept.sha256) == (version.key, version.sha256):
            file, digest = _open_hashed(output, kept.place)
            if digest == version.sha256:
                return file
            file.close()
    reason = f"its SHA-256 is {actual}, the ledger says {version.sha256}; it is not written out"
    raise StoreError(f"{output.place}/{key}", reason)


def _open_hashed(output: Output, key: str) -> tuple[BinaryIO, str]:
    with as_store_errors(f"{output.place}/{key}"), ExitStack() as opened:
        file = opened.enter_context(output.store.reader(key))
        digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        file.seek(0)
        opened.pop_all()
        return file, digest


def prune_replaced(
    place: Place,
    *,
    older_than_days: int,
    today: date,
    store: Store | None = None,
) -> PruneResult:
    """Remove the bytes of versions that were replaced before a given age; blocking.

    The caller must hold the output lock. Versions stay in the history, without their bytes.

    Args:
        place: Where the archives are.
        older_than_days: 0 removes all.
        today: The UTC day to count from.
        store: Keeps the bytes; that of `place` by default.

    Raises:
        ConfigurationError: There is no ledger.
        StoreError: The disk fails.
    """
    output = output_of(place, store)
    ledger = ledger_of(output)
    kept = history.kept_before(ledger, today, older_than_days)
    gone: list[int] = []
    sizes: list[int] = []
    problems: list[str] = []
    for row, key, kept_as in kept:
        try:
            size = _remove_kept(output.store, ledger, key, kept_as)
        except (LedgerError, StoreError) as error:
            if isinstance(error, StoreError) and error.stops_run:
                raise
            problems.append(str(error))
        else:
            gone.append(row)
            sizes += [] if size is None else [size]
    ledger.forget_kept(gone)
    return PruneResult(len(sizes), sum(sizes), tuple(problems))


def _remove_kept(store: Store, ledger: LedgerPlace, key: str, place: object) -> int | None:
    if isinstance(place, str) and is_kept_place(key, place):
        return store.remove_kept(place)
    reason = (
        f"an earlier version of `{shown(key)}` is kept as `{shown(str(place))}`, as no run does"
    )
    raise ledger.damaged(reason)
