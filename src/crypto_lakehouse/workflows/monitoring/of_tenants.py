"""The metrics of several tenants in one process: a series of each has its label `tenant`.

Tenants whose configurations name one address share a listener. Each has a file of its own.
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
from crypto_lakehouse.workflows.monitoring.monitoring import Monitoring

__all__ = ["TenantsMonitoring"]


@define(eq=False)
class TenantsMonitoring:
    """What watches the runs of several tenants.

    Attributes:
        by_tenant: What watches the run of each; a run takes it `shared()`.
        listening: The listeners, each with the metrics of the tenants that name its address.
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
        listeners: dict[tuple[str, int], MetricsListener] = {}
        for name, each in by_tenant.items():
            if each.listener is not None and isinstance(each.sink, PrometheusSink):
                places[name] = each.listener.address, each.listener.port
                sinks.setdefault(places[name], []).append(each.sink)
                listeners[places[name]] = each.listener
                each.listener = None  # until the shared one listens
        for place, found in sinks.items():
            if len(found) > 1:  # a page shows one output
                listeners[place] = MetricsListener(*place, partial(joined_text, found))
        listening = {place: Monitoring(listener=each, say=say) for place, each in listeners.items()}
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
