"""Examples in the core's docstrings are true, and its public names are those it promises."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

from crypto_lakehouse import core

FOUND = pkgutil.walk_packages(core.__path__, f"{core.__name__}.")
MODULES = [module.name for module in FOUND if not module.ispkg]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_are_true(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_some_examples_were_run() -> None:
    attempted = [doctest.testmod(importlib.import_module(name)).attempted for name in MODULES]
    assert sum(count > 0 for count in attempted) >= 4


@pytest.mark.parametrize("name", [core.__name__, *MODULES])
def test_every_promised_name_exists(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    assert sorted(set(module.__all__)) == sorted(module.__all__)
    assert all(hasattr(module, public) for public in module.__all__)
