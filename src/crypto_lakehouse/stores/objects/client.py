"""Call the object store's client (obstore), by its blocking functions; `listings` calls it, too.

Its asynchronous functions can abort the process at exit, and leave uploads behind if they are
cancelled; the blocking ones are called in worker threads, as the system calls of a directory are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any

from attrs import field, frozen

from crypto_lakehouse.stores.objects.errors import (
    ConditionFailed,
    ObjectReplaced,
    as_store_errors,
)
from crypto_lakehouse.stores.objects.listings import LONGEST_PAGE_S, Listings
from crypto_lakehouse.stores.objects.object_info import ObjectInfo, object_info

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Client

__all__ = ["PART_BYTES", "ObjectClient"]

#: The size of the parts of an upload; 10,000 of them, the most that S3 takes, are 80 GB.
PART_BYTES = 8 << 20


@frozen
class ObjectClient:
    """The objects below one prefix. Every method blocks, and raises StoreError on failure.

    Args:
        client: The client; it has the bucket and the prefix.
        url: The URL of the prefix, without secrets; for messages.
        longest_page_s: How long the client may take for a page of a listing.
    """

    client: Client = field(repr=False)
    url: str
    longest_page_s: float = LONGEST_PAGE_S

    def place(self, key: str) -> str:
        """Return the URL of a key, for messages."""
        return f"{self.url}/{key}" if key else self.url

    @property
    def identity(self) -> dict[str, str]:
        """What tells the prefix from those of other stores: URL, endpoint and account.

        The endpoint is empty if it is the provider's own, the account if it is not configured.
        """
        config = getattr(self.client, "config", {})
        return {
            "url": self.url,
            "endpoint": str(config.get("endpoint") or config.get("base_url") or ""),
            "account": str(config.get("account_name") or ""),
        }

    def _asking(self, key: str, *, has_condition: bool = False) -> AbstractContextManager[None]:
        """FileNotFoundError passes; other errors become StoreError."""
        return as_store_errors(self.place(key), may_be_absent=True, has_condition=has_condition)

    def head(self, key: str) -> ObjectInfo | None:
        """Return what the store says about an object; None if there is none."""
        import obstore

        with suppress(FileNotFoundError), self._asking(key):
            return self._info(obstore.head(self.client, key))
        return None

    def metadata(self, key: str) -> tuple[ObjectInfo, dict[str, str]] | None:
        """Return the same with the metadata that were stored with the object."""
        import obstore

        with suppress(FileNotFoundError), self._asking(key):
            result = obstore.get(self.client, key, options={"head": True})
            return self._info(result.meta), dict(result.attributes)
        return None

    def read(self, key: str, limit: int | None = None) -> bytes | None:
        """Return an object's bytes, at most `limit` of them; None if there is no object."""
        import obstore

        with suppress(FileNotFoundError), self._asking(key):
            result = obstore.get(self.client, key)
            if limit is None or result.meta["size"] <= limit:
                return bytes(result.bytes())
            data = bytearray()
            for chunk in result.stream(min_chunk_size=1):
                data += chunk
                if len(data) >= limit:
                    break
            return bytes(data[:limit])
        return None

    def read_small(self, key: str, most_bytes: int) -> tuple[ObjectInfo, bytes | None] | None:
        """Return an object's version and its bytes, by one request; None if there is no object.

        The bytes are None if there are more than `most_bytes`.
        """
        import obstore

        with suppress(FileNotFoundError), self._asking(key):
            result = obstore.get(self.client, key)
            info = self._info(result.meta)
            return info, bytes(result.bytes()) if info.size_bytes <= most_bytes else None
        return None

    def stream(self, key: str) -> tuple[ObjectInfo, Iterator[bytes]]:
        """Return an object's version and its bytes, by one request.

        Raises:
            FileNotFoundError: There is no such object.
        """
        import obstore

        with self._asking(key):
            result = obstore.get(self.client, key)
            return self._info(result.meta), self._chunks(key, result)

    def _chunks(self, key: str, result: Any) -> Iterator[bytes]:
        with self._asking(key):
            for chunk in result.stream(min_chunk_size=1 << 20):
                yield bytes(chunk)

    def read_range(self, info: ObjectInfo, start: int, stop: int) -> bytes:
        """Return a range of one version of an object.

        Raises:
            ObjectReplaced: The object is another version by now.
            RangesIgnored: The store cannot send a range.
        """
        if start >= stop:
            return b""
        # Some servers answer a range that is the whole object as if it were none.
        options = {} if (start, stop) == (0, info.size_bytes) else {"range": (start, stop)}
        with self._version(info, **options) as result:
            return bytes(result.bytes())

    def copy_to(self, file: IO[bytes], info: ObjectInfo) -> None:
        """Write one version of an object to a file; errors are those of `read_range`."""
        with self._version(info) as result:
            for chunk in result.stream(min_chunk_size=1 << 20):
                file.write(chunk)

    @contextmanager
    def _version(self, info: ObjectInfo, **options: Any) -> Iterator[Any]:
        """Get one version of an object; its ETag is compared, as some servers ignore conditions."""
        import obstore

        conditional: Any = {"if_match": f'"{info.etag}"', **options}
        try:
            with self._asking(info.key, has_condition=True):
                result = obstore.get(self.client, info.key, options=conditional)
                if self._info(result.meta).etag == info.etag:
                    yield result
                    return
        except (ConditionFailed, FileNotFoundError):
            pass
        raise ObjectReplaced(self.place(info.key), "it was replaced while it was read; run again")

    def put(self, key: str, data: bytes, **metadata: str) -> ObjectInfo:
        """Store a small object by one request, over an earlier one.

        Args:
            key: Its key.
            data: Its bytes.
            metadata: Is stored with the object.
        """
        import obstore

        with as_store_errors(self.place(key)):
            result = obstore.put(
                self.client, key, data, attributes={**metadata}, use_multipart=False
            )
        return self._info({"path": key, "size": len(data), **result})

    def put_if(self, key: str, data: bytes, *, etag: str | None, **metadata: str) -> ObjectInfo:
        """Store a small object if its version is the given one.

        Args:
            key: Its key.
            data: Its bytes.
            etag: The version that it replaces; None if there must be none.
            metadata: Is stored with the object.

        Raises:
            ConditionFailed: There is another version.
        """
        import obstore

        place = self.place(key)
        try:
            with self._asking(key, has_condition=True):
                mode: Any = "create" if etag is None else self._mode_of(key, etag)
                result = obstore.put(
                    self.client,
                    key,
                    data,
                    attributes={**metadata},
                    mode=mode,
                    use_multipart=False,
                )
        except FileNotFoundError:  # some stores say so of a version that is gone
            raise ConditionFailed(place, "there is another version of it") from None
        return self._info({"path": key, "size": len(data), **result})

    def _mode_of(self, key: str, etag: str) -> Any:
        """Return the mode of a request that replaces one version of an object.

        Google Cloud Storage has conditions on the generation alone, which names one version.
        """
        import obstore
        from obstore.store import GCSStore

        if not isinstance(self.client, GCSStore):
            return {"e_tag": f'"{etag}"'}
        meta = obstore.head(self.client, key)
        if self._info(meta).etag != etag:
            raise ConditionFailed(self.place(key), "there is another version of it")
        return {"e_tag": meta["e_tag"], "version": meta["version"]}

    def upload(self, key: str, chunks: Iterable[bytes]) -> None:
        """Store a large object, in parts that become an object when the last chunk is taken.

        An exception that `chunks` raises aborts the upload: nothing is stored, and nothing is left.
        One part is under way while the next one fills.
        """
        import obstore

        with as_store_errors(self.place(key)):
            obstore.put(
                self.client,
                key,
                chunks,
                use_multipart=True,
                chunk_size=PART_BYTES,
                max_concurrency=1,
            )

    def copy(self, source: str, target: str) -> None:
        """Copy an object within the store, without a transfer.

        Raises:
            FileNotFoundError: There is no such object.
        """
        import obstore

        with self._asking(source):
            obstore.copy(self.client, source, target)

    def delete(self, *keys: str) -> None:
        """Remove objects; those that are not there are skipped."""
        import obstore

        for key in keys:
            with suppress(FileNotFoundError), self._asking(key):
                obstore.delete(self.client, key)

    def pages(self, prefix: str, *, after: str = "") -> Iterator[list[ObjectInfo]]:
        """Yield the objects below a prefix, as the store sends them; in order, for most stores.

        Args:
            prefix: A prefix that ends with a slash, or is empty.
            after: Only keys after this folder, which ends with a slash.

        Raises:
            StoreError: The store fails, or its answer is no listing, or has no end.
        """
        return self._listings.pages(prefix, after)

    def folders(self, prefix: str) -> tuple[list[str], bool]:
        """Return the folders directly below a prefix, and whether there are objects, too.

        Raises:
            UnusableKey: An object or a folder there has a key that the client refuses.
            StoreError: As `pages`, or nothing is listed.
        """
        return self._listings.folders(prefix)

    @property
    def _listings(self) -> Listings:
        return Listings(self.client, self.url, self.longest_page_s)

    def names(self, prefix: str) -> set[str]:
        """Return the objects and folders directly below a prefix, without slashes at their ends.

        Raises:
            StoreError: The store fails. If its answer is no listing, there may be no names instead.
        """
        return self._listings.names(prefix)

    def objects(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield all objects below a prefix, as `pages` does."""
        for page in self.pages(prefix):
            yield from page

    def directly_below(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects below a prefix that are in no folder there."""
        return (info for info in self.objects(prefix) if "/" not in info.key[len(prefix) :])

    def _info(self, meta: Any) -> ObjectInfo:
        return object_info(meta, self.url)
