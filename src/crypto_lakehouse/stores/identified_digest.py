"""Digests of stored files, each with the version of the file that has it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from crypto_lakehouse.core.file_identity import FileIdentity, identity_of
from crypto_lakehouse.stores.os_errors import as_store_errors
from crypto_lakehouse.stores.parts import ONE_FILE, fold_file, no_link

__all__ = ["hash_identified"]


def hash_identified(path: str, check: Callable[[], None]) -> tuple[str, FileIdentity | None] | None:
    """Return the digest of a file, and the identity of the version that has it; blocking.

    Args:
        path: The file.
        check: Called regularly; may raise to cancel.

    Returns:
        None if there is no file. The identity is None if the file changed while it was read.

    Raises:
        StoreError: It cannot be read.
    """
    digest = hashlib.sha256()
    with as_store_errors(path, ONE_FILE, reads=True):
        try:
            with open(path, "rb", buffering=0, opener=no_link) as file:
                before = identity_of(file.fileno())
                fold_file(file, digest.update, check)
                after = identity_of(file.fileno())
        except FileNotFoundError:
            return None
    return digest.hexdigest(), before if before == after else None
