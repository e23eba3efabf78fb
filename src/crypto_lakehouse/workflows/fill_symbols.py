"""The symbols of a fill: which are selected and not there, and which are near to an unknown one."""

from __future__ import annotations

from datetime import date

from attrs import define, field

from crypto_lakehouse.core.archive import Series
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError, Problem, SelectionError
from crypto_lakehouse.core.messages import did_you_mean
from crypto_lakehouse.ledger.coverage_view import known_series
from crypto_lakehouse.ledger.runs import recorded_runs
from crypto_lakehouse.matrix.model import Matrix
from crypto_lakehouse.planning.explicit_plan import selects_interval, selects_symbol
from crypto_lakehouse.stores.output import Output
from crypto_lakehouse.workflows.asked import Asked
from crypto_lakehouse.workflows.selected_series import absent_from, asked_symbols
from crypto_lakehouse.workflows.wiring.ledgers import ledger_at
from crypto_lakehouse.workflows.wiring.lost_ledger import read_copy_if_lost

__all__ = ["FillSymbols"]


@define
class FillSymbols:
    """What the ledger of an output has of the symbols that a configuration selects.

    Args:
        config: The configuration.
        matrix: Knows under which pair a contract is stored.
        place: The output. If its ledger is lost, its copy takes the place of the ledger.
    """

    config: WorkflowConfig
    matrix: Matrix
    place: Output
    _known: frozenset[Series] = field(init=False, default=frozenset())

    def check(self, today: date) -> tuple[str, ...]:
        """Check that there is something of what is selected; blocking.

        Series that are named with their days need not be there.

        Args:
            today: The UTC day.

        Returns:
            Remarks for the user.

        Raises:
            ConfigurationError: There is no ledger, and no days are named.
            SelectionError: The ledger has no series of a symbol that no run was asked for, or none
                that is selected.
            LedgerError: The ledger cannot be read.
            StoreError: The object store fails, which may have a copy of the ledger.
        """
        read_copy_if_lost(self.place)
        ledger = ledger_at(self.place)
        names_days = self.config.date_range is not None or self.config.default_date is not None
        if not ledger.exists():
            if names_days:
                return ()
            reason = f"{self.place.needs_ledger()}; or name symbols and days"
            raise ConfigurationError([Problem("$.output_directory", reason)])
        runs = recorded_runs(ledger)
        self._known = known_series(ledger).union(Asked.of(runs, self.matrix).series(today))
        if names_days:
            return ()
        place = f"the ledger of `{self.place.place}`"
        absent = absent_from(
            self.config,
            self._known,
            place,
            self._selects,
            lambda: asked_symbols(runs),
            self.matrix.files_under_pair,
        )
        if absent.problems:
            raise SelectionError(absent.problems)
        return absent.notes(place)

    def _selects(self, series: Series) -> bool:
        return selects_symbol(self.config, series, self.matrix) and selects_interval(
            self.config, series
        )

    def hint(self, series: Series) -> str:
        """Return the nearest symbol of the same market, for a message; empty if none is near."""
        names = {each.symbol for each in self._known if each.market is series.market}
        return did_you_mean(series.symbol, sorted(names - {series.symbol}))
