"""docs/api.md from the faces: `python -m tests.architecture.api_page` writes its tables anew.

The sentence about each face, and about names without a docstring, stays as it is in the page.
"""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path

__all__ = ["PAGE", "written"]

PAGE = Path(__file__).parents[2] / "docs/api.md"

_HEADING = re.compile(r"^## `([\w.]+)`$", re.MULTILINE)
_LINE = re.compile(r"^\| `(\w+)` \| (.*) \|$", re.MULTILINE)
_SENTENCE = re.compile(r"(.+?\.)(?:\s|$)", re.DOTALL)


def written(page: str) -> str:
    """Return the page with the table of each face as it must be."""
    intro, *sections = re.split(r"(?=^## `)", page, flags=re.MULTILINE)
    return intro + "\n".join(_section(section).rstrip() + "\n" for section in sections)


def _section(section: str) -> str:
    heading = _HEADING.search(section)
    assert heading is not None
    before = section.partition("| name |")[0]
    known = dict(_LINE.findall(section))
    face = import_module(heading[1])
    names = sorted(face.__all__, key=str.casefold)
    lines = [f"| `{name}` | {_sentence(getattr(face, name), known.get(name, '?'))} |"
             for name in names]  # fmt: skip
    return "\n".join([f"{before}| name | what it is |", "|---|---|", *lines])


def _sentence(thing: object, known: str) -> str:
    """The first sentence of a docstring; what the page says if the thing has none of its own."""
    if not (inspect.isclass(thing) or inspect.isroutine(thing) or inspect.ismodule(thing)):
        return known
    sentence = _SENTENCE.match(inspect.getdoc(thing) or "")
    return " ".join(sentence[1].split()).replace("|", "\\|") if sentence else known


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
