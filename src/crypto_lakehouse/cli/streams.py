"""Standard streams that are closed, cannot be written to, or cannot encode a symbol."""

from __future__ import annotations

import codecs
import io
import logging
import os
import sys
from contextlib import suppress
from typing import TextIO

from crypto_lakehouse.core import visible

__all__ = [
    "LoggedStream",
    "escape_unencodable",
    "give_up_stdout",
    "give_up_unwritable",
    "open_standard_streams",
    "print_report",
]


def open_standard_streams() -> None:
    """Redirect closed standard streams to the null device.

    Otherwise the next file that is opened, which may be the ledger, would get the descriptor of
    standard error, and error messages would be written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
            os.set_inheritable(nowhere, True)
    sys.stdin = sys.stdin or os.fdopen(0, "r", closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def escape_unencodable() -> None:
    r"""Let symbols that a stream's encoding lacks be written as `\u2192`, not end the command.

    A path that is not UTF-8 is written with its bytes, as `bad\xff`.
    """
    codecs.register_error("visible", visible.escape_unencodable)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="visible")


#: The levels of lines that begin with a word and a colon, and of a traceback.
_LEVELS = {
    "note": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "Traceback (most recent call last)": logging.ERROR,
}


class LoggedStream(io.TextIOWrapper):
    """Standard error while the log is JSON: each text that is written to it is a record of the log.

    Args:
        plain: The stream itself, which the log is written to.
    """

    def __init__(self, plain: TextIO) -> None:
        # Click goes round a stream in ASCII, and writes to its buffer.
        super().__init__(plain.buffer, "utf-8", line_buffering=True)
        self.plain = plain
        self._begun = ""
        self._is_logging = False

    def write(self, text: str) -> int:
        """Log the text if its line ends, together with what was written before."""
        self._begun += text
        if self._begun.endswith("\n"):
            self._log()
        return len(text)

    def flush(self) -> None:
        """Do nothing: a record is written when its line ends."""

    def _log(self) -> None:
        text, self._begun = self._begun.strip("\n"), ""
        if not text or self._is_logging:  # an error of the log itself cannot be logged
            return
        word, colon, rest = text.partition(": ")
        level = _LEVELS.get(word if colon else text.partition(":")[0], logging.INFO)
        self._is_logging = True
        try:
            message = rest if colon and word in _LEVELS else text
            logging.getLogger("crypto_lakehouse.cli").log(level, "%s", message)
        finally:
            self._is_logging = False

    def end(self) -> TextIO:
        """Log what is left, and return the stream itself."""
        self._log()
        with suppress(OSError, ValueError):  # it is closed, or cannot be written to
            self.detach()
        return self.plain


def give_up_stdout() -> None:
    """Discard what is still buffered for standard output, so that the process exits quietly."""
    _give_up(sys.stdout)


def print_report(text: str) -> bool:
    """Print the report of a collection; a failure to write it does not affect any archive.

    Returns:
        False if it cannot be written, which is then said; a closed pipe is no failure.
    """
    import click

    from crypto_lakehouse.stores.os_errors import what_to_do

    try:
        click.echo(text)
    except BrokenPipeError:  # closed by its reader, as by `| head -1`
        give_up_stdout()
    except OSError as error:
        give_up_stdout()
        reason = what_to_do(error, "")
        click.echo(f"error: the report cannot be written to standard output: {reason}", err=True)
        return False
    return True


def give_up_unwritable() -> None:
    """Flush the streams, or discard what they hold: Python would exit with its own code, 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            _give_up(stream)


def _give_up(stream: TextIO) -> None:
    with suppress(OSError, ValueError):  # it may not be a file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
