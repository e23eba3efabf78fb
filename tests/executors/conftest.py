"""Collections against a real server on loopback, as the tests of the workflows have them."""

from __future__ import annotations

from tests.workflows.conftest import collection

__all__ = ["collection"]
