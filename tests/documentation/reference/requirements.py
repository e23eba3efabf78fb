"""The page of functional requirements with the tests that hold them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

__all__ = ["Requirement", "requirements", "requirements_page"]

_FILE = Path(__file__).with_name("requirements.toml")

_HEAD = """# Functional requirements

What the program must do, each as one sentence in a form of
[EARS](https://alistairmavin.com/ears/), and the tests that hold it.

"The X shall" holds always, "When" at an event, "While" in a state, "Where" with an option, and
"If ... then" if something goes wrong. Tests are named relative to `tests/`; a folder or file stands
for all of its tests. `tests/packaging/test_traceability.py` checks the forms, and that each test is
there.
[Reliability](reliability.md) has the guarantees in finer steps.
"""


@frozen
class Requirement:
    """One sentence, and what holds it.

    Attributes:
        identity: Its name, such as `COL-1`, by which other documents cite it.
        area: The heading that it is under.
        tests: Folders, files and functions below tests/.
    """

    identity: str
    area: str
    text: str
    tests: tuple[str, ...]


def requirements() -> Iterator[Requirement]:
    """Yield every requirement, in the order of the file."""
    for area in tomllib.loads(_FILE.read_text(encoding="utf-8"))["area"]:
        for number, (text, *tests) in enumerate(area["requirements"], 1):
            yield Requirement(f"{area['code']}-{number}", area["name"], text, tuple(tests))


def requirements_page() -> str:
    """Return the page: a table for each area."""
    lines = [_HEAD]
    area = ""
    for each in requirements():
        if each.area != area:
            area = each.area
            lines += [f"\n## {area}\n"] if len(lines) > 1 else [f"## {area}\n"]
            lines += ["| id | requirement | tests |", "|---|---|---|"]
        tests = ", ".join(f"`{name}`" for name in each.tests)
        lines.append(f"| {each.identity} | {_visible(each.text)} | {tests} |")
    return "\n".join(lines) + "\n"


def _visible(text: str) -> str:
    return re.sub(r"\|", r"\\|", text)
