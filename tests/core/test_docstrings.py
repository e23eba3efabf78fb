"""Examples in the core's docstrings are true, and its public names are those it promises."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

from crypto_lakehouse import core

FOUND = pkgutil.walk_packages(core.__path__, f"{core.__name__}.")
MODULES = [module.name for module in FOUND if not module.ispkg]


def test_examples_in_docstrings_are_true() -> None:
    results = {name: doctest.testmod(importlib.import_module(name)) for name in MODULES}
    assert [name for name, result in results.items() if result.failed] == []
    assert sum(result.attempted > 0 for result in results.values()) >= 4


def test_every_promised_name_exists() -> None:
    for name in (core.__name__, *MODULES):
        module = importlib.import_module(name)
        assert module.__doc__, name
        assert sorted(set(module.__all__)) == sorted(module.__all__), name
        assert all(hasattr(module, public) for public in module.__all__), name
