"""What tests of alerts and dashboards may use."""

from __future__ import annotations

from tests.workflows.conftest import collection

__all__ = ["collection"]
