"""What code, data and pages cite is there: the page, and the place in it."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]

_FOLDERS = ("src", "tests", "benchmarks", "matrix", "docs", "requirements", ".ci")

_SUFFIXES = {".json", ".md", ".py", ".toml", ".txt", ""}

#: A page of this repository, and perhaps a place in it; not a part of a longer path or a URL, and
#: not the name of a user's own file, as the page for agents has.
_CITATION = re.compile(
    r"(?<![\w./-])(?!SKILL\b)((?:docs/[\w-]+|benchmarks/README|[A-Z]+)\.md)(?:#([\w-]+))?(?!\w)"
)

_LINK = re.compile(r"\]\((?![a-z]+:)([^)\s#]*)(?:#([^)\s]+))?\)")

#: Documents that only its authors had.
_FORMER = re.compile(
    r"archive[- ]facts|\bdesign,?\s+(?:#:?\s+)?(?:section\s+)?\d", flags=re.IGNORECASE
)


def files() -> Iterator[Path]:
    """Every text of the project."""
    for folder in _FOLDERS:
        yield from (path for path in (_ROOT / folder).rglob("*") if path.suffix in _SUFFIXES)
    yield from (path for path in _ROOT.iterdir() if path.suffix in {".md", ".toml"})
    yield _ROOT / "Makefile"


@functools.cache
def texts() -> dict[str, str]:
    """All texts by their paths."""
    return {
        path.relative_to(_ROOT).as_posix(): path.read_text(encoding="utf-8", errors="replace")
        for path in files()
        if path.is_file() and "__pycache__" not in path.parts
    }


def without_code(page: str) -> str:
    """A page's Markdown without what stands in it as code."""
    return re.sub(r"^```.*?^```|`[^`\n]*`", "", page, flags=re.DOTALL | re.MULTILINE)


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.strip())
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


@functools.cache
def anchors(page: str) -> Counter[str]:
    """A page's anchors, and how often each stands there."""
    text = re.sub(r"^```.*?^```", "", texts()[page], flags=re.DOTALL | re.MULTILINE)
    found = Counter(re.findall(r'<a id="([^"]+)">', text))
    found.update(slug(heading) for heading in re.findall(r"^#{1,6} (.+)$", text, re.MULTILINE))
    return found


def faults_of(page: str, anchor: str | None) -> Iterator[str]:
    if page not in texts():
        yield f"{page} is not there"
    elif anchor and anchors(page)[anchor] != 1:
        yield f"{page} has {anchors(page)[anchor]} places #{anchor}"


PAGES = pytest.mark.parametrize("page", sorted(name for name in texts() if name.endswith(".md")))


def test_citations_lead_to_a_place_that_is_there() -> None:
    cited = [(name, *found) for name, text in texts().items() for found in _CITATION.findall(text)]
    assert sum(name.endswith(".py") and bool(anchor) for name, _, anchor in cited) > 80
    assert [
        f"{name}: {fault}" for name, page, anchor in cited for fault in faults_of(page, anchor)
    ] == []


def test_nothing_cites_what_readers_do_not_have() -> None:
    assert [
        f"{name}: {found[0]}" for name, text in texts().items() for found in _FORMER.finditer(text)
    ] == []


@PAGES
def test_links_between_pages_resolve(page: str) -> None:
    folder = (_ROOT / page).parent
    for target, anchor in _LINK.findall(without_code(texts()[page])):
        path = (folder / target).resolve() if target else _ROOT / page
        assert path.exists(), f"{target} is not there"
        assert path.is_relative_to(_ROOT), f"{target} is not ours"
        if anchor:
            assert list(faults_of(path.relative_to(_ROOT).as_posix(), anchor)) == []


@PAGES
def test_issues_that_are_named_are_linked(page: str) -> None:
    definition = re.compile(r"^\[(#\d+)\]: https://.*", re.MULTILINE)
    text = without_code(texts()[page])
    named = re.findall(r"\[(#\d+)\]", definition.sub("", text))
    assert sorted(set(named)) == sorted(definition.findall(text))
