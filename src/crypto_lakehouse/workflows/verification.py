"""Verify a collected tree: walk its folders, hash on all cores, compare."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import ExitStack
from heapq import merge
from itertools import groupby
from pathlib import Path

from anyio import to_thread

from crypto_lakehouse.collection.verification import (
    StoredArchive,
    VerificationReport,
    Verifier,
)
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.ports import Ledger, LedgerRow, PartRow
from crypto_lakehouse.stores.ledger import SqliteLedger
from crypto_lakehouse.stores.local import LocalStore

__all__ = ["verify_tree"]


class _NoLedger:
    """A tree that no run has written, as a mirror made by other means."""

    async def rows(self, _folder: str) -> dict[str, LedgerRow]:
        return {}

    async def parts(self, _folder: str) -> dict[str, PartRow]:
        return {}


async def _nobody(_archive: StoredArchive) -> None:
    return None


async def verify_tree(
    root: str | os.PathLike[str],
    tell: Callable[[StoredArchive], Awaitable[None]] = _nobody,
) -> VerificationReport:
    """Hash every archive below `root` and compare it with its sidecar, or with the ledger.

    Nothing is changed, and a collection may run beside it.

    Args:
        root: An output directory, or any mirror of the publisher's tree.
        tell: Told of each archive as it is done.

    Raises:
        ConfigurationError: `root` is no directory.
        LedgerError: The ledger is there and cannot be read.
    """
    store = LocalStore(Path(root))
    if not await to_thread.run_sync(store.root.is_dir):
        problem = Problem("$.output_directory", f"`{store.root}` is no directory")
        raise ConfigurationError([problem])
    path = store.own_path("ledger.sqlite")
    with ExitStack() as resources:
        ledger: Ledger = _NoLedger()
        known: list[str] = []
        if await to_thread.run_sync(path.is_file):
            opened = await to_thread.run_sync(SqliteLedger.open_read_only, path)
            resources.callback(opened.close)
            ledger, known = opened, await opened.folders()
        verifier = Verifier(store, ledger, workers=os.cpu_count() or 1)
        return await verifier.verify(_folders(store.root, known), tell)


async def _folders(root: Path, known: Iterable[str]) -> AsyncIterator[str]:
    """Key prefixes on disk and in the ledger, each once."""
    for folder, _ in groupby(merge(_on_disk(root), known)):
        yield folder


def _on_disk(root: Path) -> Iterator[str]:
    """Key prefixes that hold files, in the order of their text."""
    pending = [root / "data"]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(folder) as entries:
                folders = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            continue
        names = sorted(entry.name for entry in folders)
        yield f"{folder.relative_to(root).as_posix()}/"
        pending.extend(folder / name for name in reversed(names))
