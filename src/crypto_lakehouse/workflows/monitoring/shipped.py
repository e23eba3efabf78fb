"""Files for Prometheus and Grafana that are shipped with the package."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

__all__ = ["SHIPPED", "shipped"]

#: The name of each file, by what it is.
SHIPPED: Mapping[str, str] = {"alerts": "alerts.yaml", "dashboard": "dashboard.json"}


def shipped(name: str) -> str:
    """Return the text of a file.

    Args:
        name: `alerts`, the alerting rules, or `dashboard`, one for Grafana.

    Examples:
        >>> shipped("alerts").startswith("# Alerting rules of crypto-lakehouse")
        True
    """
    return (files(__package__) / SHIPPED[name]).read_text(encoding="utf-8")
