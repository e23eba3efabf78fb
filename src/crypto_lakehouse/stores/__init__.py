"""Stores keep bytes under object keys; today there is one, a directory.

- `directory` is the store: `<root>/<object key>`, whole files only. Bytes are written to
  `NAME.part` and renamed; a small body costs no thread hop.
- `parts` is an unfinished large body: appended to, hashed as it grows, resumed by a later run.
- `quarantine` and `replaced` list what is kept beside the archives: bytes that failed a check, each
  with a note on the reason, and replaced versions.
- `state` is the folder of the ledger and the locks, which is local wherever the archives are.
- `confined` deletes files below a root, and follows no link out of it.
- `disk` has every system call that changes the disk, so that a test can lose what was not synced.
- `os_errors` turns errors of the operating system into `StoreError`, with advice.
- `local_files` reads files in threads, `identified_digest` hashes one; both say which version it
  is.
- `user_path` makes absolute paths of what users type.
- `tree` walks the folders of a collected tree.

Promised: a file is complete or absent, and nothing outside the root is written, whatever keys and
symbolic links say. Not promised: that a file survives a power loss before it is synced; the ledger
does not list it earlier. Nothing here depends on HTTP or markets.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crypto_lakehouse.stores.directory import LocalStore
    from crypto_lakehouse.stores.state import StateFolder

__all__ = ["LocalStore", "StateFolder"]

_MODULES = {"LocalStore": "directory", "StateFolder": "state"}


def __getattr__(name: str) -> object:
    """Import a public name on first use: not every program needs a local store."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"crypto_lakehouse.stores.{_MODULES[name]}"), name)
