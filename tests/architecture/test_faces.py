"""What is not exported by a package's `__init__` is private: documents import faces alone."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from tests.architecture.api_page import written

_ROOT = Path(__file__).parents[2]

_API = (_ROOT / "docs/api.md").read_text()

FACES = re.findall(r"^## `([\w.]+)`$", _API, flags=re.MULTILINE)

NAMES = [(face, name) for face in FACES for name in import_module(face).__all__]

_IMPORT = re.compile(r"^\s*from (crypto_lakehouse[\w.]*) import (\([^)]*\)|[^\n]*)", re.MULTILINE)


def imported() -> list[tuple[str, str, str]]:
    """Page, package and name of each import in a document."""
    return [
        (page.name, package, name)
        for page in [_ROOT / "README.md", *sorted((_ROOT / "docs").rglob("*.md"))]
        for package, names in _IMPORT.findall(page.read_text())
        for name in re.findall(r"\w+", names)
    ]


def test_the_page_names_every_face_that_an_application_needs() -> None:
    needed = {"charts", "core", "http", "sinks", "stores", "tables", "testing", "workflows"}
    needed |= {"integrations", "integrations.dagster", "integrations.prefect"}
    assert set(FACES) == {"crypto_lakehouse"} | {f"crypto_lakehouse.{name}" for name in needed}


@pytest.mark.parametrize(("page", "package", "name"), imported())
def test_documents_import_from_faces(page: str, package: str, name: str) -> None:
    assert package in FACES, f"{page} imports from `{package}`, which is private"
    assert name in import_module(package).__all__, f"{page}: `{package}` does not export `{name}`"


def test_every_exported_name_is_there_and_has_a_docstring() -> None:
    for face, name in NAMES:
        thing: Any = getattr(import_module(face), name)
        if inspect.isclass(thing) or inspect.isfunction(thing) or inspect.ismodule(thing):
            assert thing.__doc__, name


def test_the_page_lists_what_the_faces_export_with_the_first_sentences() -> None:
    advice = "run `python -m tests.architecture.api_page`"
    assert written(_API) == _API, advice
    added = _API.replace("| `run_bench` |", "| `run_fast` |")
    assert written(added) != added, "a name that is not exported is noticed"
