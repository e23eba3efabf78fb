"""What a run was asked for and where it looked, in a form that can be stored with the run."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig, plain_value

__all__ = ["selection_of", "without_credentials"]

#: The keys that say which archives a configuration selects.
_SELECTING = (
    "markets",
    "symbols",
    "data_types",
    "intervals",
    "partitions",
    "date_range",
    "default_date",
    "quote_assets",
    "contracts",
    "leveraged_tokens",
    "stable_pairs",
)


def selection_of(config: WorkflowConfig, *, by_calendar: bool) -> dict[str, Any]:
    """Return the keys that say which archives a run collects, in plain JSON types.

    Days are calendar days, whatever words they were given by. `discovery` is what the plan was made
    from. A run that takes its archives from the ledger only has the key `only`.

    Args:
        config: The configuration of the run.
        by_calendar: Whether the plan was made without a listing.

    Examples:
        >>> config = WorkflowConfig(
        ...     output_directory="o", symbols=["BTCUSDT"], default_date="2025-07-15", environ={}
        ... )
        >>> found = selection_of(config, by_calendar=True)
        >>> found["symbols"], found["default_date"], found["discovery"]
        (['BTCUSDT'], '2025-07-15', 'calendar')
    """
    if config.only is not None:
        return {"only": config.only}
    plain = {name: plain_value(getattr(config, name)) for name in _SELECTING}
    selection = {name: value for name, value in plain.items() if value is not None}
    return {**selection, "discovery": "calendar" if by_calendar else "listing"}


def without_credentials(url: str) -> str:
    """Return a URL without user name and password.

    Examples:
        >>> without_credentials("https://me:pw@mirror.example:8443/data")
        'https://mirror.example:8443/data'
    """
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
