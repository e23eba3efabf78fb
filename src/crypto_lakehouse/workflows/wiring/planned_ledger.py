"""The ledger that a plan is made by: the one that a collection would begin with; read only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from crypto_lakehouse.core.errors import LedgerError
from crypto_lakehouse.ledger.empty import EmptyLedger, ledger_if_any
from crypto_lakehouse.ledger.packing import CopyDamaged, unpack
from crypto_lakehouse.ledger.place import RunLedger
from crypto_lakehouse.ledger.sqlite import SqliteLedger
from crypto_lakehouse.stores.objects.ledger_copy import LedgerCopy
from crypto_lakehouse.stores.objects.store import ObjectStore
from crypto_lakehouse.stores.os_errors import what_to_do
from crypto_lakehouse.stores.output import Output
from crypto_lakehouse.workflows.wiring.ledgers import ledger_at

__all__ = ["planned_ledger"]

_Planned = tuple[RunLedger | EmptyLedger, list[str]]


@contextmanager
def planned_ledger(output: Output) -> Iterator[_Planned]:
    """Open the ledger of an output for a plan; blocking.

    If the state folder of an object store has none, it is the copy in the store, in a temporary
    folder: nothing is written to the store or to the state folder.

    Yields:
        The ledger, an empty one if there is none, and remarks for the user.

    Raises:
        LedgerError: The ledger or its copy cannot be read.
        StoreError: The object store fails.
    """
    place, store = ledger_at(output), output.store
    if place.is_shared or not isinstance(store, ObjectStore) or place.exists():
        with ledger_if_any(place) as ledger:
            yield ledger, []
        return
    with TemporaryDirectory(prefix="crypto-lakehouse-", ignore_cleanup_errors=True) as folder:
        copy = LedgerCopy(store.client, Path(folder, "note.json"), has_conditions=False)
        opened, notes = _open_copy(copy, Path(folder, "ledger.sqlite.gz"), str(output.state.path))
        if opened is None:
            yield EmptyLedger(), notes
            return
        with closing(opened):
            yield opened, notes


def _open_copy(copy: LedgerCopy, packed: Path, state: str) -> tuple[SqliteLedger | None, list[str]]:
    """Fetch and open a copy, as the next collection does, and say so; None if there is none."""
    try:
        if not copy.fetch(packed):
            return None, []
        ledger, damage = SqliteLedger.open(unpack(packed, copy.place))
    except CopyDamaged as error:
        reason = f"its copy `{copy.place}` is damaged ({error})"
        remark = (
            f"there is no ledger in `{state}`, and {reason}; `collect` checks what the store has"
        )
        return None, [remark]
    except OSError as error:
        raise LedgerError(copy.place, what_to_do(error, str(packed.parent))) from error
    subject = f"there is no ledger in `{state}`; the plan is by its copy `{copy.place}`"
    if damage:
        return ledger, [f"{subject}, of which only the sound rows count, as it is damaged"]
    return ledger, [f"{subject}, which `collect` fetches"]
