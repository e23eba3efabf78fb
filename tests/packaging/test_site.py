"""The website has every page, and its anchors are those of GitHub."""

from __future__ import annotations

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from tests.packaging.test_citations import anchors, slug

_ROOT = Path(__file__).parents[2]

#: What newcomers look for, by the name of its page.
TASKS = {
    "install", "proxy", "s3", "cron", "docker", "pandas", "joins", "universe", "gaps", "candles",
    "notebook", "backtesters", "tables", "upgrade",
    "progress-and-cancel", "own-sinks", "own-store", "test-your-code", "monitoring", "completion",
}  # fmt: skip


def hook() -> Any:
    spec = spec_from_file_location("github", _ROOT / "docs/hooks/github.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_navigation_has_every_page_once() -> None:
    _, _, nav = (_ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")
    named = re.findall(r"^ +- (?:[^:\n]+: )?([\w/-]+\.md)$", nav, re.MULTILINE)
    there = [path.relative_to(_ROOT / "docs").as_posix() for path in (_ROOT / "docs").rglob("*.md")]
    assert sorted(named) == sorted(there), "name each page once under `nav` in mkdocs.yml"


def test_anchors_are_those_of_github() -> None:
    for heading in ("What is left, and why", "`plan --all`: 2 lists", "S3, R2 & others"):
        assert hook().slug(heading) == slug(heading.replace("`", ""))
    assert anchors("README.md")["try-it"] == 1


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("[a page](fill.md#x)", "[a page](fill.md#x)"),
        ("[a page](../tables.md)", "[a page](../tables.md)"),
        ("see [the\ndesign](../../ARCHITECTURE.md#disk)", "see the\ndesign (`ARCHITECTURE.md`)"),
        ("[`deploy/`](../../deploy)", "`deploy`"),
        ("[Makefile](../../Makefile)", "`Makefile`"),
        ("```\n[x](../../y.md)\n```\n", "```\n[x](../../y.md)\n```\n"),
    ],
)
def test_links_that_leave_the_pages_become_paths(markdown: str, expected: str) -> None:
    assert hook().without_outside_links(markdown, "how-to/cron.md") == expected


def test_a_bar_within_code_of_a_table_is_one() -> None:
    assert hook().on_page_content(r"<td><code>A\|B</code></td>") == "<td><code>A|B</code></td>"
    assert hook().on_page_content(r"<p>A\|B</p>") == r"<p>A\|B</p>"


def test_the_readme_begins_with_the_tasks_that_newcomers_look_for() -> None:
    first_screen, _, _ = (_ROOT / "README.md").read_text().partition("\n- **")
    linked = set(re.findall(r"\]\(docs/(?:[a-z-]+/)?([a-z0-9-]+)\.md\)", first_screen))
    assert TASKS - linked == set()
