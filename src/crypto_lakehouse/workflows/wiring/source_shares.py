"""What a run may send to its hosts if it shares them with other runs of the process."""

from __future__ import annotations

from attrs import frozen

from crypto_lakehouse.http.shared_budget import BudgetShare

__all__ = ["SourceShares"]


@frozen
class SourceShares:
    """The parts of a run in the budgets of its hosts.

    Attributes:
        archives: That of the source.
        listings: That of the listing; the same one if the source lists itself.
    """

    archives: BudgetShare
    listings: BudgetShare
