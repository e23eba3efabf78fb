"""Compares the bytes of stored archives with the published digests."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Protocol

from attrs import frozen

from crypto_lakehouse.collection.download.sidecar import SIDECAR_LIMIT_BYTES, parse_sidecar
from crypto_lakehouse.core.archive import SIDECAR_SUFFIX
from crypto_lakehouse.core.errors import SidecarMalformed, StoreError
from crypto_lakehouse.core.ledger_protocols import LedgerRow
from crypto_lakehouse.core.listed import md5_of_etag
from crypto_lakehouse.core.protocols import Store
from crypto_lakehouse.core.verdicts import Verdict

__all__ = ["DAMAGE", "REPAIRABLE", "Comparer", "FileState", "StoreComparer", "StoredArchive"]


class FileState(StrEnum):
    """The result of hashing one stored archive."""

    OK = "ok"
    """Its bytes are the published ones."""
    DAMAGED = "damaged"
    """Its bytes are not what the sidecar or the ledger says."""
    MISSING = "missing"
    """The ledger says that it was verified, and it is gone."""
    UNPROVEN = "unproven"
    """There is no digest to compare it with."""
    UNREADABLE = "unreadable"
    """It is there, but cannot be read."""
    MISRECORDED = "misrecorded"
    """Its bytes are the published ones, and the ledger says other things of them."""

    @property
    def mark(self) -> str:
        """The state as one character, as in rclone's `check --combined`."""
        return _MARKS[self]


_MARKS = {
    FileState.OK: "=",
    FileState.DAMAGED: "*",
    FileState.MISSING: "+",
    FileState.UNPROVEN: "-",
    FileState.UNREADABLE: "!",
    FileState.MISRECORDED: "=",
}

#: States of archives that cannot be used.
DAMAGE = frozenset({FileState.DAMAGED, FileState.UNREADABLE})

#: States that a repair mends.
REPAIRABLE = DAMAGE | {FileState.MISRECORDED}


@frozen
class StoredArchive:
    """One stored archive and its state.

    Attributes:
        key: The key of the archive; or a key prefix, which ends in `/`, of a folder that cannot be
            read.
        sha256: Digest of its bytes; None if they are gone or cannot be read.
        size_bytes: The size of the file; 0 if there is none.
        expected: The digest that a damaged one should have, if it is known; else empty.
    """

    key: str
    state: FileState
    reason: str = ""
    sha256: str | None = None
    size_bytes: int = 0
    expected: str = ""


class Comparer(Protocol):
    """Hashes archives and compares them; perhaps on another machine."""

    async def compare(self, key: str, size: int, row: LedgerRow | None) -> StoredArchive:
        """Hash an archive and compare it.

        Args:
            key: The archive.
            size: Its listed size.
            row: What the ledger says of it.
        """
        ...


@frozen
class StoreComparer:
    """Hashes archives of a store in this process."""

    store: Store

    async def compare(self, key: str, size: int, row: LedgerRow | None) -> StoredArchive:
        """Hash an archive and compare it."""
        try:
            actual = await self.store.sha256(key)
        except StoreError as error:
            return StoredArchive(key, FileState.UNREADABLE, str(error), None, size)
        if actual is None:
            return StoredArchive(key, FileState.MISSING, "it was verified once, and is gone")
        try:
            data = await self.store.read(key + SIDECAR_SUFFIX, SIDECAR_LIMIT_BYTES + 1)
            expected, source = self._expected(key, row, data)
        except (StoreError, SidecarMalformed) as error:
            return StoredArchive(key, FileState.DAMAGED, str(error), actual, size)
        if expected is None:
            return StoredArchive(key, FileState.UNPROVEN, source, actual, size)
        if actual != expected:
            reason = f"its SHA-256 is {actual}, the {source} says {expected}"
            return StoredArchive(key, FileState.DAMAGED, reason, actual, size, expected)
        if fault := _fault_of(row, actual, size, data):
            return StoredArchive(key, FileState.MISRECORDED, fault, actual, size)
        return StoredArchive(key, FileState.OK, "", actual, size)

    def _expected(
        self, key: str, row: LedgerRow | None, data: bytes | None
    ) -> tuple[str | None, str]:
        if data is not None:
            return parse_sidecar(data, key + SIDECAR_SUFFIX), "sidecar"
        if row is not None and row.verdict is Verdict.VERIFIED:
            return row.facts.sha256, "ledger"
        if row is not None and row.accepted:
            return None, "its sidecar disagreed, and a policy let it in"
        return None, "no sidecar beside it, and not in the ledger as verified"


def _fault_of(row: LedgerRow | None, actual: str, size: int, sidecar: bytes | None) -> str:
    """Return what is wrong in the row of an archive whose bytes are good; empty if nothing is.

    Args:
        row: What the ledger says of the archive.
        actual: The digest of its bytes.
        size: Their number.
        sidecar: The stored sidecar, which names that digest; None if there is none.
    """
    if row is None or row.verdict is not Verdict.VERIFIED:
        return ""  # the next collection checks the file
    facts = row.facts
    if facts.sha256 not in {None, actual}:
        return f"its SHA-256 is {actual}, the ledger says {facts.sha256}"
    if facts.size_bytes not in {None, size}:
        return f"its size is {size} B, the ledger says {facts.size_bytes} B"
    named = facts.published_sha256
    if sidecar is None or named in {None, actual} or not _is_of(facts.sidecar_etag, sidecar):
        return ""
    return f"its sidecar names {actual}, the ledger says that it names {named}"


def _is_of(etag: str | None, sidecar: bytes) -> bool:
    """Whether a ledger's row can be about this sidecar.

    The source may have published another one since, which `integrity: listing` does not store.
    """
    md5 = hashlib.md5(sidecar, usedforsecurity=False).hexdigest()
    return etag is None or md5_of_etag(etag) == md5
