"""Prose is plain English: no word of a list stands in documents, comments, docstrings, messages."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path

_ROOT = Path(__file__).parents[2]

#: Where the words are looked for: pages, and folders of pages and modules.
COVERED = (
    "README.md",
    "CHANGELOG.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "benchmarks/README.md",
    "docs",
    "noxfile.py",
    "src",
)

#: Words of translated or antiquated English; plain ones say the same.
_AVOIDED = re.compile(
    r"\b(?:nobody|somebody|whoever|whom|told|heard|thereof|thereby|hereby|likewise|anew|borne|"
    r"ours|let in|wants|those who|for who|lies in|(?:lies|stands) (?:there|here|twice|beside))\b",
    flags=re.IGNORECASE,
)


def prose_of(path: Path) -> str:
    """A page without its code; a module's docstrings, comments and texts."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.DOTALL | re.MULTILINE)
    comments = [
        token.string
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT
    ]
    texts = [
        node.value
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return "\n".join([*comments, *texts])


def covered_files() -> list[Path]:
    """Every page and module that is covered."""
    places = [_ROOT / name for name in COVERED]
    folders = [[*place.rglob("*.md"), *place.rglob("*.py")] for place in places]
    return [path for place, found in zip(places, folders, strict=True)
            for path in (sorted(found) or [place])]  # fmt: skip


def stilted(path: Path) -> list[str]:
    """The stilted words of a file, each with what stands beside it."""
    words = " ".join(prose_of(path).split())
    return [words[max(0, m.start() - 40) : m.end() + 20] for m in _AVOIDED.finditer(words)]


def test_prose_avoids_stilted_words() -> None:
    found = {path.relative_to(_ROOT).as_posix(): stilted(path) for path in covered_files()}
    assert len(found) > 500
    assert {name: words for name, words in found.items() if words} == {}


def test_a_stilted_word_is_found(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text('"""Nobody waits."""\nx = f"ours {1}"  # told\nnobody = 1\n')
    assert sorted(_AVOIDED.findall(prose_of(module).lower())) == ["nobody", "ours", "told"]
    page = tmp_path / "page.md"
    page.write_text("It is told.\n`nobody`\n```\nwhoever\n```\n")
    assert _AVOIDED.findall(prose_of(page)) == ["told"]
