"""JSON that commands print: valid, of equal value, and without what a terminal obeys."""

from __future__ import annotations

import ast
import json
import logging
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cli.conftest import Shell
from tests.cli.test_terminal import OnTerminal, on_terminal
from tests.tables.sample_data import bars, put, text_of

import crypto_lakehouse.cli
from crypto_lakehouse.cli.logs import configure_logging
from crypto_lakehouse.cli.main import main
from crypto_lakehouse.core.visible import json_text

__all__ = ["on_terminal"]

#: C0, DEL, C1, a mark that reverses text, one outside the basic plane, and letters.
HOSTILE = "\x1b]0;owned\x07\x7f\x9b2J\u202e\U000e0001\u5e01\U0001f600\xe9"

#: Letters that not every encoding has; Python would escape two of them as JSON does not.
LETTERS = "caf\xe9-\u5e01-\U0001f600"

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES, st.sampled_from([None, 2]))
def test_the_text_is_visible_and_of_equal_value(value: Any, indent: int | None) -> None:
    text = json_text(value, indent=indent)
    assert json.loads(text) == value
    assert text.replace("\n", "").isprintable()
    assert indent or "\n" not in text


def test_letters_of_other_scripts_stay() -> None:
    assert json_text({"k": "\u5e01\u5b89 caf\xe9"}) == '{"k": "\u5e01\u5b89 caf\xe9"}'


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`lake` has a table; `tree` an archive with a hostile header."""
    root = tmp_path_factory.mktemp("folders")
    put(root / "lake", bars(date(2023, 7, 1)))
    with pytest.raises(SystemExit):
        main(["ingest", "-o", str(root / "lake")])
    rows = text_of(bars(date(2023, 7, 1)))
    put(root / "tree", bars(date(2023, 7, 1)), f"{HOSTILE},open,high\n{rows}")
    return root


#: Commands whose JSON holds the text; a query's is a line for each row.
COMMANDS = {
    "validate": ["validate", "-o", "tree", "--json"],
    "ingest": ["ingest", "-o", "tree", "--json", "-q", "--again"],
    "query": ["query", "-o", "lake", "-f", "json", f"SELECT '{HOSTILE}' AS \"{HOSTILE}\""],
}


def _texts(value: Any) -> str:
    """All texts of a value, one after the other."""
    if isinstance(value, dict):
        return "".join(key + _texts(each) for key, each in value.items())
    if isinstance(value, list):
        return "".join(map(_texts, value))
    return str(value)


@pytest.mark.parametrize("name", COMMANDS)
def test_json_in_a_pipe_is_visible(
    shell: Shell, folders: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(folders)
    _, out, _ = shell(*COMMANDS[name])
    assert out.removesuffix("\n").isprintable()
    assert "]0;owned" in _texts(json.loads(out))


@pytest.mark.parametrize("name", COMMANDS)
def test_json_on_a_terminal_is_the_same(
    on_terminal: OnTerminal, folders: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(folders)

    def work() -> None:
        with pytest.raises(SystemExit):
            main(COMMANDS[name])

    out = on_terminal(work)
    text = out[out.index("{") : out.rindex("}") + 1]
    assert text.isprintable()
    assert "]0;owned" in _texts(json.loads(text))
    assert name != "query" or HOSTILE in _texts(json.loads(text))


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_json_is_valid_in_every_encoding_of_standard_output(encoding: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "crypto_lakehouse", "config", "show", "--json", "-o", LETTERS],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    assert json.loads(ended.stdout.decode(encoding))["output_directory"]["value"] == LETTERS


def test_json_logs_are_visible(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger("crypto_lakehouse")
    for name in ("handlers", "level", "propagate"):
        monkeypatch.setattr(logger, name, getattr(logger, name))
    configure_logging("json")
    logger.warning("text %s", HOSTILE)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.isprintable()
    assert json.loads(line)["event"] == f"text {HOSTILE}"


def test_every_command_prints_json_by_the_same_function() -> None:
    """Otherwise a new command would print what a terminal obeys."""
    for path in Path(crypto_lakehouse.cli.__file__).parent.glob("*.py"):
        names = {
            alias.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        assert "json" not in names or path.name == "json_output.py", path.name
