"""Runs examples with the Python of an environment that has the wheel; knows only that package.

Called with a directory in which a user has worked, and on standard input a JSON object: `lines` are
the words of commands, each of which runs in a copy of the directory, and `pages` lists of blocks of
Python, which share their names. Prints a JSON object: for each line its exit code and what it
printed, and for each block its error.
"""

import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

from crypto_lakehouse.cli.main import main


def run_line(before: str, words: list[str]) -> tuple[int, str]:
    """Run a command in a process of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "world"
        shutil.copytree(before, folder)
        for option, name in pairwise(words):
            if option in {"--to", "--write"}:
                (folder / name).unlink(missing_ok=True)
        said = Path(scratch) / "said"
        child = os.fork()
        if not child:
            os._exit(_run(words, folder, said))
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status), said.read_text()


def _run(words: list[str], folder: Path, said: Path) -> int:
    os.chdir(folder)
    streams = os.open(said, os.O_WRONLY | os.O_CREAT)
    for number in (1, 2):
        os.dup2(streams, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        main(words)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def run_page(before: str, blocks: list[str]) -> list[str]:
    """Run the blocks of a page in order; return the error of each, or an empty text."""
    outcomes = []
    names: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "world"
        shutil.copytree(before, folder)
        os.chdir(folder)
        for block in blocks:
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    exec(block, names)  # noqa: S102
            except Exception as error:  # noqa: BLE001 - the outcome
                outcomes.append(f"{type(error).__name__}: {error}")
            else:
                outcomes.append("")
        os.chdir(before)
    return outcomes


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    lines = [run_line(sys.argv[1], words) for words in asked["lines"]]
    pages = [run_page(sys.argv[1], blocks) for blocks in asked["pages"]]
    print(json.dumps({"lines": lines, "pages": pages}))  # noqa: T201
