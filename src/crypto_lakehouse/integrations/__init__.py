"""Runs as units of work of orchestrators: `dagster` has assets, `prefect` has flows.

They call what the library offers, and no unit of work of theirs is an archive. `stopping` lets the
signals of a scheduler stop a run in order, `unit_of_work` says what a run is asked for, and
`series_groups` counts it by market and data type.
"""

from crypto_lakehouse.integrations.stopping import stopping_in_order

__all__ = ["stopping_in_order"]
