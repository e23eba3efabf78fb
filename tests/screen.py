"""A terminal: the screen that its bytes paint, and a process that runs on one."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from rich.cells import cell_len

_TOKEN = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|[\r\n]|[^\x1b\r\n]")


class Screen:
    """Paints what a program writes, as a terminal of some width does.

    Attributes:
        rows: The text of each row.
        wrapped: How often a text was longer than a row.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self.rows = [""]
        self.wrapped = 0
        self._row = self._column = 0

    def feed(self, text: str) -> Self:
        """Paint text with its control sequences."""
        for token in _TOKEN.finditer(text):
            if token[2]:
                self._obey(token[1], token[2])
            elif token[0] == "\r":
                self._column = 0
            elif token[0] == "\n":
                self._to_row(self._row + 1)
            else:
                self._put(token[0])
        return self

    def _obey(self, number: str, command: str) -> None:
        if command == "K":
            assert number == "2"
            self.rows[self._row] = ""
        elif command == "A":
            self._row = max(0, self._row - int(number or 1))
        else:
            assert command in "hlm", f"{number}{command} is not known here"

    def _to_row(self, row: int) -> None:
        self._row, self._column = row, 0
        self.rows += [""] * (row + 1 - len(self.rows))

    def _put(self, character: str) -> None:
        if self._column + cell_len(character) > self.width:
            self.wrapped += 1
            self._to_row(self._row + 1)
        row = self.rows[self._row].ljust(self._column)
        after = self._column + cell_len(character)
        self.rows[self._row] = row[: self._column] + character + row[after:]
        self._column = after


class OnTerminal:
    """Runs `crypto-lakehouse` with a terminal for all three standard streams.

    Args:
        arguments: Of the command.
        folder: The working directory.
        width: Columns of the terminal.
    """

    def __init__(self, arguments: Sequence[str], folder: Path, width: int) -> None:
        self._master, slave = pty.openpty()
        _set_width(self._master, width)
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in {"COLUMNS", "LINES", "NO_COLOR"}
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "crypto_lakehouse", *arguments],
            cwd=folder,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**environment, "TERM": "xterm"},
        )
        os.close(slave)
        self.text = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def resize(self, width: int) -> None:
        """Change the width and say so to the process, as a terminal does."""
        _set_width(self._master, width)
        self.process.send_signal(signal.SIGWINCH)

    def read_until(self, is_enough: Callable[[str], object]) -> str:
        """Read until the text since the last call is enough; return that text."""
        found = b""
        while not is_enough(found.decode(errors="ignore")):
            found += os.read(self._master, 65_536)
        text = found.decode(errors="ignore")
        self.text += text
        return text

    def read_all(self) -> int:
        """Read until the process ends; return its exit code."""
        found = b""
        while True:
            try:
                some = os.read(self._master, 65_536)
            except OSError:  # how Linux says that this was all
                break
            if not some:
                break
            found += some
        self.text += found.decode()
        return self.process.wait()


def _set_width(terminal: int, width: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
