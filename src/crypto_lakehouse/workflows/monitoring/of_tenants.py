"""The metrics of several tenants in one process: a series of each has its label `tenant`.

Tenants whose configurations name one address share a listener, where each has a page of its own, as
it has a file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from attrs import define

from crypto_lakehouse.core.config.origins import naming_origins
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.protocols import ignore
from crypto_lakehouse.sinks.prometheus import PrometheusSink, joined_text
from crypto_lakehouse.workflows.monitoring.listener import MetricsListener
from crypto_lakehouse.workflows.monitoring.live_page import LivePage
from crypto_lakehouse.workflows.monitoring.live_pages import LivePages
from crypto_lakehouse.workflows.monitoring.monitoring import Monitoring

__all__ = ["TenantsMonitoring"]


@define(eq=False)
class TenantsMonitoring:
    """What watches the runs of several tenants.

    Attributes:
        by_tenant: What watches the run of each; a run takes it `shared()`.
        listening: The listeners, each with metrics and pages of the tenants that name its address.
    """

    by_tenant: Mapping[str, Monitoring]
    listening: Mapping[tuple[str, int], Monitoring]
    _configs: Mapping[str, Any]
    _places: Mapping[str, tuple[str, int]]

    @classmethod
    def of(
        cls, configs: Mapping[str, Any], say: Callable[[str], None] = ignore
    ) -> TenantsMonitoring:
        """Make what the configurations say; nothing is opened yet.

        Args:
            configs: The configuration of each tenant.
            say: Called with the address of each listener.

        Raises:
            ExtraMissing: It is needed, and the extra `metrics` or `otel` is not installed.
        """
        by_tenant = {name: Monitoring.of(config) for name, config in configs.items()}
        places: dict[str, tuple[str, int]] = {}
        sinks: dict[tuple[str, int], list[PrometheusSink]] = {}
        pages: dict[tuple[str, int], dict[str, LivePage]] = {}
        for name, each in by_tenant.items():
            listener, page = each.listener, each.page
            if listener and page and isinstance(each.sink, PrometheusSink):
                place = places[name] = listener.address, listener.port
                sinks.setdefault(place, []).append(each.sink)
                pages.setdefault(place, {})[name] = page
                each.listener = None  # until the shared one listens
        listening = dict[tuple[str, int], Monitoring]()
        for place, found in sinks.items():
            shown = LivePages("tenants", pages[place])
            listener = MetricsListener(*place, partial(joined_text, found), shown)
            listening[place] = Monitoring(listener=listener, say=say)
        return cls(by_tenant, listening, configs, places)

    async def open(self) -> None:
        """Listen, and check the files.

        Raises:
            ConfigurationError: A port is in use, or a file cannot be written; all faults.
        """
        problems: list[Problem] = []
        one_of = {place: name for name, place in self._places.items()}
        parts = [*self.by_tenant.items()]
        parts += [(one_of[place], each) for place, each in self.listening.items()]
        for name, each in parts:
            try:
                with naming_origins(self._configs[name]):
                    await each.open()
            except ConfigurationError as error:
                problems += error.problems
        if problems:
            await self.close()
            raise ConfigurationError(dict.fromkeys(problems))
        for name, place in self._places.items():
            self.by_tenant[name].listener = self.listening[place].listener

    async def close(self) -> None:
        """Write the files of runs that have not come to their end, and stop listening."""
        for each in (*self.by_tenant.values(), *self.listening.values()):
            await each.close()
