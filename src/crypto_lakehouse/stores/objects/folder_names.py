"""Find out by one listing of a folder which of the folders in it are absent."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from attrs import define, field

from crypto_lakehouse.stores.objects.errors import UnusableKey

__all__ = ["FolderNames", "Names"]

Names = Callable[[str], set[str]]
"""Returns the objects and the folders directly below a prefix, without slashes at their ends."""

#: The names of so many folders are remembered; a data type needs those of two at a time.
_MOST_FOLDERS = 256


@define
class FolderNames:
    """Remembers the names in folders; thread-safe, if one thread at a time asks.

    Args:
        names: Lists the names in a folder of the store.
    """

    names: Names
    _known: dict[str, set[str]] = field(init=False, factory=dict)
    _written: set[str] | None = field(init=False, default=None)
    _lock: Lock = field(init=False, factory=Lock)

    def lack(self, folder: str) -> bool:
        """Whether a folder is absent, as the nearest folder above says that has any names.

        Args:
            folder: A folder; its name ends with a slash.

        Raises:
            StoreError: The store fails.
        """
        try:
            while folder:
                above = _above(folder)
                if found := self._in(above):
                    return folder.rstrip("/") not in found
                folder = above
        except UnusableKey:  # of an object beside it
            return False
        return False

    def note(self, key: str) -> None:
        """Take note that a key is written; no listing is waited for."""
        with self._lock:
            if self._written is not None:
                self._written.add(key)
            self._add(key)

    def _in(self, folder: str) -> set[str]:
        with self._lock:
            if folder in self._known:
                return self._known[folder]
            self._written = written = set[str]()
        try:
            found = self.names(folder)
            with self._lock:
                if len(self._known) >= _MOST_FOLDERS:
                    self._known.clear()
                self._known[folder] = found
                for key in written:
                    self._add(key)
        finally:
            self._written = None
        return found

    def _add(self, key: str) -> None:
        """Add a key, and the folders that it is in, to what is known of the folders above."""
        while key:
            above = _above(key)
            if found := self._known.get(above):
                found.add(key.rstrip("/"))
            else:  # that it had no names may be due to an answer that was no listing
                self._known.pop(above, None)
            key = above


def _above(key: str) -> str:
    """Return the folder that a key or a folder is in; empty for the root."""
    return key[: key.rstrip("/").rfind("/") + 1]
