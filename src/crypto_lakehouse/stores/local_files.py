"""The files of a directory as threads read them, with the identity of each version."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, ClassVar

from attrs import field, frozen

from crypto_lakehouse.core.file_identity import FileIdentity, identity_of
from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.stores.identified_digest import hash_identified
from crypto_lakehouse.stores.keys import checked_key
from crypto_lakehouse.stores.os_errors import as_store_errors
from crypto_lakehouse.stores.parts import ONE_FILE, no_link
from crypto_lakehouse.stores.user_path import absolute_path

__all__ = ["LocalFiles"]


@frozen
class _Opened:
    file: BinaryIO

    def identity(self) -> FileIdentity | None:
        return identity_of(self.file.fileno())


@frozen
class LocalFiles:
    """Files below one directory.

    Args:
        root: The directory.
    """

    root: Path = field(converter=absolute_path)
    requests_ahead: ClassVar[int] = 0

    def place(self, key: str) -> str:
        """Return the path of a key.

        Raises:
            StoreError: The key would leave the directory.
        """
        return f"{self.root}/{checked_key(key)}"

    def identity(self, key: str, listed: FileStat | None = None) -> FileIdentity | None:  # noqa: ARG002 - of the protocol
        """Return the identity of a file as it is now; None if there is no file."""
        return identity_of(self.place(key))

    @contextmanager
    def open(self, key: str, expected: FileIdentity | None = None) -> Iterator[_Opened]:  # noqa: ARG002 - of the protocol
        """Open a file, in whatever version it is."""
        with Path(self.place(key)).open("rb") as file:
            yield _Opened(file)

    def digest(self, key: str, check: Callable[[], None]) -> tuple[str, FileIdentity | None] | None:
        """Return the digest of a file and its identity."""
        return hash_identified(self.place(key), check)

    def read(self, key: str, limit: int) -> bytes | None:
        """Return the first bytes of a file; None if there is no file."""
        path = self.place(key)
        with as_store_errors(path, ONE_FILE, reads=True):
            try:
                with open(path, "rb", opener=no_link) as file:
                    return file.read(limit)
            except FileNotFoundError:
                return None
