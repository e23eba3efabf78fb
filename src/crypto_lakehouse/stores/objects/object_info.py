"""What an object store says about an object."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.stores.objects.errors import NO_ETAG

__all__ = ["ObjectInfo", "object_info"]


class ObjectInfo(NamedTuple):
    """What the store says about one object.

    Attributes:
        key: Its key.
        size_bytes: Its size.
        etag: Its ETag without quotes; servers send both forms for one object.
        written_ns: When it was written, in ns since 1970, as coarse as the store says it.
    """

    key: str
    size_bytes: int
    etag: str
    written_ns: int = 0

    @property
    def mark(self) -> int:
        """A positive number of 62 bits that changes with the ETag."""
        digest = hashlib.blake2b(self.etag.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") >> 2


def object_info(meta: Any, url: str) -> ObjectInfo:
    """Return what the client's metadata of an object say.

    Args:
        meta: The metadata.
        url: The URL of the prefix, for messages.

    Raises:
        StoreError: The store has sent no ETag.
    """
    etag = (meta["e_tag"] or "").removeprefix("W/").strip('"')
    if not etag:
        raise StoreError(f"{url}/{meta['path']}", NO_ETAG, stops_run=True)
    written = meta.get("last_modified")  # not sent in answer to a PUT
    written_ns = 0 if written is None else round(written.timestamp() * 1000) * 1_000_000
    return ObjectInfo(meta["path"], meta["size"], etag, written_ns)
