"""The page of all public classes and functions, which the website fills in from docstrings."""

from __future__ import annotations

import re
from importlib import import_module

from tests.documentation.collector import ROOT

__all__ = ["python_page"]

_HEAD = """# Python reference

This page has every public class and function with its arguments, from the docstrings. `make docs`
fills it in; as a file it has only the names, which [the public names](../api.md) explain in a
sentence each.
"""


def python_page() -> str:
    """Return the page: what the packages of docs/api.md export."""
    listed = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    faces = re.findall(r"^## `([\w.]+)`$", listed, re.MULTILINE)
    return "\n".join([_HEAD, *map(_section, faces)])


def _section(face: str) -> str:
    names = [each for each in import_module(face).__all__ if not each.startswith("__")]
    listed = "".join(f"        - {name}\n" for name in names)
    return (
        f"## `{face}`\n\n::: {face}\n    options:\n      show_root_heading: false\n"
        f"      members:\n{listed}"
    )
