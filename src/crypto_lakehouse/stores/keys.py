"""Check object keys, which come from a source that is not trusted."""

from __future__ import annotations

import re

from crypto_lakehouse.core.errors import StoreError

__all__ = ["checked_key"]

#: Keys that cannot leave a store: no part begins with a dot.
_PLAIN_KEY = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9_.-]*/)*[A-Za-z0-9_-][A-Za-z0-9_.-]*")


def checked_key(key: str) -> str:
    """Return a key that stays in its store.

    Raises:
        StoreError: The key would leave the store.
    """
    if _PLAIN_KEY.fullmatch(key):
        return key
    if "\0" in key or "\\" in key or any(part in {"", ".", ".."} for part in key.split("/")):
        raise StoreError(repr(key), "a key must not leave the output directory")
    return key
