"""The copy of a lost ledger, for commands that only read: the one that a collection begins with."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from tempfile import mkdtemp
from weakref import finalize

from crypto_lakehouse.core.errors import LedgerError
from crypto_lakehouse.core.protocols import ignore
from crypto_lakehouse.ledger.packing import CopyDamaged, unpack
from crypto_lakehouse.ledger.sqlite import SqliteLedger
from crypto_lakehouse.stores.objects.ledger_copy import LedgerCopy
from crypto_lakehouse.stores.objects.store import ObjectStore
from crypto_lakehouse.stores.os_errors import what_to_do
from crypto_lakehouse.stores.output import Output
from crypto_lakehouse.workflows.wiring.ledgers import ledger_at

__all__ = ["read_copy_if_lost"]


def read_copy_if_lost(output: Output) -> Sequence[str]:
    """Let `ledger_at` give the copy in the store if the state folder has no ledger; blocking.

    Only for commands that read: the copy is in a temporary folder, which lives as long as the
    output, and nothing is written to the store or to the state folder.

    Returns:
        Remarks for the user, which are `output.ledger_remarks`, too.

    Raises:
        LedgerError: The copy cannot be read.
        StoreError: The object store fails.
    """
    if output.ledger_copy is None:
        place = ledger_at(output)
        if not place.is_shared and not place.exists() and isinstance(output.store, ObjectStore):
            _fetch(output, output.store)
    return output.ledger_remarks


def _fetch(output: Output, store: ObjectStore) -> None:
    """Fetch and open the copy, as the next collection does, and say so."""
    folder = mkdtemp(prefix="crypto-lakehouse-")
    finalize(output, shutil.rmtree, folder, ignore_errors=True)
    copy = LedgerCopy(store.client, Path(folder, "note.json"), has_conditions=False)
    packed, state = Path(folder, "ledger.sqlite.gz"), output.state.path
    try:
        if not copy.fetch(packed):
            # An object that is absent is no news; a listing says if the bucket is.
            next(store.folders(ignore), None)
            return
        path = unpack(packed, copy.place)
        ledger, damage = SqliteLedger.open(path)
    except CopyDamaged as error:
        output.ledger_remarks = (
            f"there is no ledger in `{state}`, and its copy `{copy.place}` is damaged ({error}), "
            "so it is not known what was collected; `collect` checks what the store has",
        )
        return
    except OSError as error:
        raise LedgerError(copy.place, what_to_do(error, folder)) from error
    with closing(ledger):
        output.ledger_copy = path
    subject = f"there is no ledger in `{state}`; in its place its copy `{copy.place}` is read"
    remark = "of which only the sound rows count, as it is damaged" if damage else (
        "which `collect` fetches"
    )  # fmt: skip
    output.ledger_remarks = (f"{subject}, {remark}",)
