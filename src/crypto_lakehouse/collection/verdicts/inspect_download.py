"""Fetch an archive with its sidecar, and gather the evidence for a verdict."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import BinaryIO

from anyio import from_thread, to_thread
from attrs import evolve, frozen

from crypto_lakehouse.collection.download.bodies import FetchedBody
from crypto_lakehouse.collection.download.fetcher import Fetched, Fetcher, Transfer
from crypto_lakehouse.collection.download.sidecar import parse_sidecar
from crypto_lakehouse.collection.verdicts.verdict_rules import Evidence
from crypto_lakehouse.core.errors import SidecarMalformed
from crypto_lakehouse.core.listed import ListedArchive, md5_of_etag, moment_of, same_etag
from crypto_lakehouse.zips.check import INLINE_BYTES

__all__ = ["Download", "DownloadInspector", "Published", "md5_of"]


@frozen
class Published:
    """A sidecar as the source sent it.

    Attributes:
        data: Its bytes; None if the source has no sidecar.
        sha256: The digest that it names.
        fault: Why it names no digest; empty if it does or is absent.
    """

    data: bytes | None = None
    sha256: str | None = None
    fault: str = ""


@frozen(kw_only=True)
class Download:
    """A fetched body with its evidence, and the published sidecar."""

    fetched: Fetched
    evidence: Evidence
    sidecar: bytes | None

    @property
    def body(self) -> FetchedBody:
        """The bytes, not yet at their final name."""
        return self.fetched.body


@frozen
class DownloadInspector:
    """Fetches archives and gathers the evidence for their verdicts.

    Args:
        fetcher: Fetches zips and sidecars.
        integrity: `sidecar`, `listing` or `both` (ARCHITECTURE.md#integrity).
        keep_sidecars: Whether the sidecar is kept beside its zip.
    """

    fetcher: Fetcher
    integrity: str
    keep_sidecars: bool

    async def inspect(self, transfer: Transfer, listed: ListedArchive | None) -> Download | None:
        """Fetch an archive with its sidecar, and inspect both; None if there is none."""
        if self.integrity != "sidecar" or (listed is not None and listed.sidecar_etag is None):
            transfer.with_md5 = True  # the ETag may have to prove the bytes
        fetched = await self.fetcher.archive(transfer)
        if fetched is None:
            return None
        digest = md5_of_etag(listed.etag if listed else None) or md5_of_etag(fetched.etag)
        needs_sidecar = self.keep_sidecars or self.integrity != "listing" or digest is None
        published = await self.published(transfer) if needs_sidecar else Published()
        await yield_to_waiters()
        body = fetched.body
        evidence = Evidence(
            sha256=body.sha256(),
            integrity=self.integrity,
            etag_agrees=None,
            published_sha256=published.sha256,
            sidecar_fault=published.fault,
            zip_fault=await body.zip_fault(transfer.archive.member),
            is_stale=_is_stale(fetched, listed, self.integrity),
        )
        if digest is not None and (self.integrity != "sidecar" or not evidence.is_proven):
            md5 = body.md5()
            agrees = None if md5 is None else md5 == digest
            evidence = evolve(evidence, etag_agrees=agrees, lacks_md5=md5 is None)
        return Download(fetched=fetched, evidence=evidence, sidecar=published.data)

    async def published(self, transfer: Transfer) -> Published:
        """Fetch the sidecar."""
        data = await self.fetcher.sidecar(transfer)
        if data is None:
            return Published()
        try:
            return Published(data, parse_sidecar(data, transfer.archive.sidecar_key))
        except SidecarMalformed as error:
            return Published(data, None, f"{error}{transfer.sidecar_sent}")


async def yield_to_waiters() -> None:
    """Let waiting tasks send their requests before this task uses the processor.

    Responses tend to arrive together. In the first turn of the event loop permits are released,
    in the second they are acquired.
    """
    for _ in range(2):
        await asyncio.sleep(0)


def _is_stale(fetched: Fetched, listed: ListedArchive | None, integrity: str) -> bool:
    """Whether the source served another version than it lists.

    A version that is newer than the listed one was published after the listing; only a sidecar can
    prove it. An older one comes from a cache (docs/archive.md#stale-caches).
    """
    if listed is None:
        return False
    if fetched.etag is None or listed.etag is None:
        return fetched.body.size_bytes != listed.size_bytes
    if same_etag(fetched.etag, listed.etag):
        return False
    # Some caches have ETags of their own; then only the size can be compared.
    if md5_of_etag(fetched.etag) is None and fetched.body.size_bytes == listed.size_bytes:
        return False
    return integrity != "sidecar" or not _is_newer(fetched.last_modified, listed.last_modified)


def _is_newer(served: str | None, listed: str | None) -> bool:
    one, other = moment_of(served), moment_of(listed)
    return one is not None and other is not None and one > other


async def md5_of(reader: Callable[[], BinaryIO], size_bytes: int) -> str:
    """Return the MD5 of stored or fetched bytes; a thread reads large files."""
    if size_bytes <= INLINE_BYTES:
        return _md5(reader, lambda: None)
    return await to_thread.run_sync(_md5, reader, from_thread.check_cancelled)


def _md5(reader: Callable[[], BinaryIO], step: Callable[[], None]) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with reader() as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            step()
    return digest.hexdigest()
