"""What proves the bytes of a stored archive: the ledger, or its sidecar."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field, frozen

from crypto_lakehouse.collection.download.sidecar import SIDECAR_LIMIT_BYTES, parse_sidecar
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import SidecarMalformed, StoreError
from crypto_lakehouse.core.file_identity import FileIdentity, StoredFiles
from crypto_lakehouse.core.ledger_protocols import LedgerRow
from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.core.origin import Origin
from crypto_lakehouse.core.verdicts import SUCCESSES

__all__ = ["CHANGES", "GONE", "UNPROVEN", "StoredZip", "prove", "proven_by_ledger"]

UNPROVEN = "nothing proves it: no sidecar, and no ledger"
GONE = "it is gone"
CHANGES = "it changed while it was read"


@frozen
class StoredZip:
    """A zip of a store.

    Attributes:
        archive: What it is.
        files: Where it is.
        sha256: Its digest.
        fault: Why it must not be used; empty for good ones.
        is_arriving: Whether the fault is only that a collection has not settled it yet.
        identity: Of the version that has this digest: a collection may replace the file before its
            rows are read. None if it is not known, which is so for faulty ones.
    """

    archive: Archive
    files: StoredFiles = field(repr=False)
    sha256: str
    fault: str = ""
    is_arriving: bool = False
    identity: FileIdentity | None = None

    @property
    def place(self) -> str:
        """Its path or URL."""
        return self.files.place(self.archive.key)


def proven_by_ledger(
    files: StoredFiles, archive: Archive, row: LedgerRow | None, listed: FileStat | None = None
) -> StoredZip | None:
    """Return an archive that the ledger has verified as the very file that is stored.

    Args:
        files: Where it is.
        archive: What it is.
        row: What the ledger knows of it.
        listed: What a scan has just said about the file; None asks the store.

    Returns:
        None if the ledger does not prove it.
    """
    if row is None or row.verdict not in SUCCESSES or row.facts.sha256 is None:
        return None
    # Digests that differ may be a flipped bit: then the file shows which of them is its own.
    if row.facts.published_sha256 not in {None, row.facts.sha256}:
        return None
    now = files.identity(archive.key, listed)
    if now is None or not row.facts.describes(now.stat):
        return None
    return StoredZip(archive, files, row.facts.sha256, identity=now)


def prove(
    files: StoredFiles, archive: Archive, row: LedgerRow | None, check: Callable[[], None]
) -> StoredZip:
    """Hash an archive, and compare it with the digest in the ledger or in the sidecar; blocking.

    Args:
        files: Where it is.
        archive: What it is.
        row: What the ledger knows of it.
        check: Called regularly; may raise to cancel.

    Raises:
        StoreError: The store fails, so that no archive can be read.
    """
    recorded = row.facts.sha256 if row is not None else None
    named = row.facts.published_sha256 if row is not None else None
    is_verified = row is not None and row.verdict in SUCCESSES
    try:
        hashed = files.digest(archive.key, check)
    except StoreError as error:
        return StoredZip(archive, files, "", f"it cannot be read: {_of_one(error)}")
    if hashed is None:
        return StoredZip(archive, files, "", GONE)
    digest, identity = hashed
    if identity is None:
        return StoredZip(archive, files, digest, CHANGES)
    good = StoredZip(archive, files, digest, identity=identity)
    if row is not None and row.accepted and recorded == digest:
        return good
    wanted = {recorded, named} - {None} if is_verified and recorded else set()
    malformed = ""
    if digest not in wanted:  # the row may be that of the version before
        published, malformed = _published(files, archive)
        wanted |= {published} - {None}
    if not wanted:
        return StoredZip(archive, files, digest, malformed or UNPROVEN)
    if digest in wanted:
        return good
    is_zip = archive.origin is Origin.ARCHIVE
    named_by = "were published" if is_zip else "its sidecar names"
    return StoredZip(archive, files, digest, f"its bytes are not those that {named_by}")


def _published(files: StoredFiles, archive: Archive) -> tuple[str | None, str]:
    """Return the digest that the sidecar names, and what is wrong with a sidecar that is there."""
    what = "nothing proves it: no ledger, and its sidecar"
    try:
        body = files.read(archive.sidecar_key, SIDECAR_LIMIT_BYTES + 1)
        return None if body is None else parse_sidecar(body, archive.name), ""
    except StoreError as error:
        return None, f"{what} cannot be read: {_of_one(error)}"
    except SidecarMalformed as error:
        return None, f"{what} is malformed: {error.reason}"


def _of_one(error: StoreError) -> str:
    """Return the reason of an error that concerns one file; raise any other."""
    if error.stops_run:
        raise error
    return error.reason
