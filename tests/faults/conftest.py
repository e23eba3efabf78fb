"""Collections against a real server on loopback, as the tests of the workflows have them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.machine import Machine, make_machine
from tests.workflows.conftest import collection

__all__ = ["collection"]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine on which all is well so far."""
    with make_machine(tmp_path) as machine:
        yield machine


@pytest.fixture(autouse=True)
def _faults(uncovered_children: None) -> None:
    """What these tests start is killed, has no disk, or is somebody else's."""
