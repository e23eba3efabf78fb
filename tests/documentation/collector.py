"""Finds every example: in the help of all commands, in the demo's last words, and on all pages."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
from attrs import frozen

from crypto_lakehouse.cli import demo
from crypto_lakehouse.cli.main import cli

__all__ = ["ROOT", "Block", "Line", "blocks", "commands", "context_of", "lines", "pages", "spans"]

ROOT = Path(__file__).parents[2]

_BLOCK = re.compile(r"^```(?P<language>[^\n]*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)

_SPAN = re.compile(r"(?<!`)`([^`\s](?:[^`\n]|\n(?!\n))*)`(?!`)")

_ELSEWHERE = re.compile(
    r"^(?:import|from) (?:dagster|prefect|airflow|crypto_lakehouse\.integrations\.|"
    r"freqtrade|nautilus_trader|vectorbt)",
    re.MULTILINE,
)

#: What ends a command in a shell, or redirects its streams.
_OPERATORS = frozenset("();<>|&")


@frozen
class Block:
    """A fenced block of a page.

    Attributes:
        place: The page and the line.
        language: What follows the fence.
    """

    place: str
    language: str
    text: str

    @property
    def runs_elsewhere(self) -> bool:
        """Whether it is for an environment of its own, where tests/integrations runs it."""
        return _ELSEWHERE.search(self.text) is not None


@frozen
class Line:
    """A command line of an example.

    Attributes:
        place: The command whose help has it, or the page and the line of its block.
        text: One logical line, without comments.
    """

    place: str
    text: str

    @property
    def name(self) -> str:
        """The name of its test, which does not change with the lines above."""
        return f"{self.place.partition(':')[0]}: {' '.join(self.text.split())}"

    @property
    def words(self) -> list[str]:
        """Its words, as a shell splits them; operators are words of their own."""
        parser = shlex.shlex(self.text, posix=True, punctuation_chars=True)
        parser.whitespace_split = True
        return list(parser)

    @property
    def is_shell(self) -> bool:
        """Whether a shell is needed: for a pipe, a file or a second command."""
        return any(word and set(word) <= _OPERATORS for word in self.words)


def pages() -> list[Path]:
    """All pages of the project."""
    found = [*ROOT.glob("*.md")]
    for folder in ("docs", "src", "matrix", "benchmarks", "examples", "tests", ".github"):
        found += (ROOT / folder).rglob("*.md")
    return sorted(path for path in found if path.name != "CHANGELOG.md")


def blocks() -> list[Block]:
    """Every fenced block of every page."""
    found = []
    for page in pages():
        text = page.read_text(encoding="utf-8")
        for match in _BLOCK.finditer(text):
            number = text.count("\n", 0, match.start()) + 1
            place = f"{page.relative_to(ROOT).as_posix()}:{number}"
            found.append(Block(place, match["language"], match["text"]))
    return found


def spans() -> dict[str, str]:
    """Code within a sentence of a page or of the package's texts, and the file that has it."""
    texts = {page: _BLOCK.sub("", page.read_text(encoding="utf-8")) for page in pages()}
    for path in sorted((ROOT / "src").rglob("*.py")):
        texts[path] = "\n\n".join(_strings(ast.parse(path.read_text(encoding="utf-8"))))
    found: dict[str, str] = {}
    for path, text in texts.items():
        for span in _SPAN.findall(text):
            found.setdefault(" ".join(span.split()), path.relative_to(ROOT).as_posix())
    return found


def _strings(node: ast.AST) -> Iterator[str]:
    """The texts of a module, whole; a value within one is left out."""
    if isinstance(node, ast.JoinedStr):
        parts = [each.value for each in node.values if isinstance(each, ast.Constant)]
        yield "".join(map(str, parts))
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    else:
        for child in ast.iter_child_nodes(node):
            yield from _strings(child)


def commands() -> dict[str, click.Command]:
    """Every command by its name, as `lake compact`; the program itself has an empty one."""
    return dict(_below("", cli))


def _below(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        context = context_of(command)
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            assert found is not None
            yield from _below(f"{name} {each}".strip(), found)


def context_of(command: click.Command, name: str = "") -> click.Context:
    """Return a context of a command, with the names of the option for help that a call has.

    A command keeps these from the first context that it gets its parameters for.
    """
    names = cli.context_settings["help_option_names"]
    return click.Context(command, info_name=f"crypto-lakehouse {name}", help_option_names=names)


def lines() -> list[Line]:
    """Every command line of every example, once."""
    found = []
    for name, command in commands().items():
        for text in filter(None, (command.help, command.epilog)):
            found += _typed(f"{name} --help".strip(), text)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        demo._say_what_next("crypto-lakehouse")
    found += _typed("demo", said.getvalue())
    for block in blocks():
        if block.language == "sh":
            found += [Line(block.place, text) for text in _logical(block.text)]
    return [*{" ".join(line.text.split()): line for line in reversed(found)}.values()][::-1]


def _typed(place: str, text: str) -> list[Line]:
    """The lines of a help text that call this program."""
    called = (line for line in _logical(text) if line.startswith("crypto-lakehouse "))
    return [Line(place, line) for line in called]


def _logical(text: str) -> list[str]:
    """Join continued lines; leave out empty ones and comments."""
    joined = re.sub(r" *\\\n *", " ", text)
    stripped = (re.sub(r"\s+# .*", "", line).strip() for line in joined.splitlines())
    return [line for line in stripped if line and not line.startswith("#")]
