"""Docstrings in the form of Google, as Markdown."""

from __future__ import annotations

import inspect
import re

__all__ = ["attributes_of", "text_of"]

_SECTION = re.compile(
    r"^(?:Args|Attributes|Example|Examples|Raises|Returns|Yields):$", re.MULTILINE
)
_ITEM = re.compile(r"^    (?=\S)", re.MULTILINE)


def text_of(thing: object) -> str:
    """Return what a docstring says before its first section."""
    return _SECTION.split(inspect.getdoc(thing) or "", maxsplit=1)[0].strip()


def attributes_of(thing: object) -> dict[str, str]:
    """Return what a docstring says about each attribute, by name, in one line each."""
    _, found, rest = (inspect.getdoc(thing) or "").partition("Attributes:\n")
    if not found:
        return {}
    items = [each for each in _ITEM.split(_SECTION.split(rest, maxsplit=1)[0]) if each.strip()]
    described: dict[str, str] = {}
    for item in items:
        names, _, text = " ".join(item.split()).partition(": ")
        described |= dict.fromkeys(names.split(", "), text)
    return described
