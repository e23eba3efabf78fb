"""How the events of a run reach its sinks and its ledger."""

from __future__ import annotations

from attrs import frozen

from crypto_lakehouse.collection.event_queue import CLOSE_WITHIN_S, GATHER_S
from crypto_lakehouse.sinks.ledger import BATCH_ROWS

__all__ = ["Delivery"]


@frozen(kw_only=True)
class Delivery:
    """When events are passed on, and how long a stopped run waits for that.

    Attributes:
        gather_s: For how many seconds events are gathered before the sinks get them.
        batch_rows: How many rows one transaction of the ledger takes.
        drain_s: How long a run that was stopped may take to deliver its events, in seconds.
        close_within_s: How long each sink may take to close after that, in seconds.
    """

    gather_s: float = GATHER_S
    batch_rows: int = BATCH_ROWS
    drain_s: float = 1.5
    close_within_s: float = CLOSE_WITHIN_S
