"""The folders of a store, and whether there is anything in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from crypto_lakehouse.core.errors import ConfigurationError, Problem, StoreError
from crypto_lakehouse.core.origin import Origin
from crypto_lakehouse.core.protocols import KeepsSegments, Store, ignore
from crypto_lakehouse.stores.output import Output
from crypto_lakehouse.workflows.wiring.ledgers import ledger_at
from crypto_lakehouse.workflows.wiring.lost_ledger import read_copy_if_lost

__all__ = ["check_there", "folders_of"]


def folders_of(store: Store, on_unreadable: Callable[[str], None] = ignore) -> Iterator[str]:
    """Return the folders of a store; blocking.

    Args:
        store: The store.
        on_unreadable: As `Store.folders` takes it.

    Raises:
        ConfigurationError: The output directory cannot be listed.
        StoreError: No object of the store can be read, as those of a bucket that does not exist.
    """
    folders = store.folders(on_unreadable)
    try:
        first = next(folders, None)
    except StoreError as error:
        if error.stops_run:
            raise
        raise ConfigurationError([Problem("$.output_directory", str(error))]) from error
    return chain(() if first is None else (first,), folders)


def _has_recordings(store: Store) -> bool:
    found = store.segments(lambda *_: None, Origin.LIVE) if isinstance(store, KeepsSegments) else ()
    return any(True for _ in found)


def check_there(output: Output, *, reads_copy: bool = False) -> None:
    """Check that an output can be read, and that a URL has archives or a ledger; blocking.

    Args:
        output: The output.
        reads_copy: Whether the copy of a lost ledger takes its place, as by `read_copy_if_lost`.

    Raises:
        ConfigurationError: The directory does not exist or cannot be read, or there is neither an
            archive nor a ledger at the URL.
        LedgerError: It cannot be found out whether there is a ledger, or its copy cannot be read.
        StoreError: As `folders_of`.
    """
    output.check()
    if not output.is_url or ledger_at(output).exists():
        return
    # The listing comes first: it tells best what is no object store.
    is_empty = next(folders_of(output.store), None) is None and not _has_recordings(output.store)
    remarks = read_copy_if_lost(output) if reads_copy else ()
    if is_empty and not ledger_at(output).exists():
        reason = f"{output.lacks_ledger()}, and no archive is below `{output.place}/data/`"
        raise ConfigurationError([Problem("$.output_directory", "; ".join([reason, *remarks]))])
