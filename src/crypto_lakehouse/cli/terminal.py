r"""What commands write to a terminal: text of unknown origin in it cannot control the terminal.

File names, symbols, headers of CSV files, answers of servers and rows of a query may hold escape
sequences. On a terminal they are shown as text, `\x1b[2J`; pipes and files get them unchanged.
"""

from __future__ import annotations

import codecs
import io
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any, TextIO

from crypto_lakehouse.core.visible import escape_unencodable, visible_lines

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["console", "escaped_on_terminals", "shown_in", "stdout_bytes", "stdout_encoding"]


class _VisibleStream(io.TextIOWrapper):
    """A standard stream that escapes what is written.

    Args:
        terminal: The stream itself.
    """

    def __init__(self, terminal: TextIO) -> None:
        # Click goes round a stream in ASCII, and writes UTF-8 to its buffer.
        is_ascii = codecs.lookup(terminal.encoding).name == "ascii"
        encoding = "utf-8" if is_ascii else terminal.encoding
        super().__init__(terminal.buffer, encoding, terminal.errors, line_buffering=True)
        self.terminal = terminal

    def write(self, text: str) -> int:
        """Write text without invisible characters; return the length of the text given."""
        super().write(visible_lines(text))
        return len(text)


@contextmanager
def escaped_on_terminals() -> Iterator[None]:
    """Escape what is written to standard output and standard error, each if it is a terminal."""
    with ExitStack() as undone:
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream.isatty():
                stream.flush()
                escaped = _VisibleStream(stream)
                setattr(sys, name, escaped)
                undone.callback(_restore, name, escaped)
        yield


def _restore(name: str, escaped: _VisibleStream) -> None:
    setattr(sys, name, escaped.terminal)
    with suppress(OSError, ValueError):  # it is closed, or the terminal is gone
        escaped.detach()


def console(*, stderr: bool = False, **options: Any) -> Console:
    """Make a console of rich for a standard stream: its own escape sequences pass, no others."""
    from rich.console import Console
    from rich.text import Text

    class VisibleConsole(Console):
        def print(self, *objects: Any, **how: Any) -> None:
            super().print(*map(_visible_object, objects), **how)

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # rich would end the process with 1; `main` ends it with 141

    def _visible_object(value: Any) -> Any:
        if isinstance(value, str):
            return visible_lines(value)
        if isinstance(value, Text) and visible_lines(value.plain) != value.plain:
            return Text(visible_lines(value.plain))
        return value

    stream = sys.stderr if stderr else sys.stdout
    return VisibleConsole(file=getattr(stream, "terminal", stream), **options)


def stdout_encoding() -> str:
    """Return the encoding of standard output."""
    return getattr(sys.stdout, "terminal", sys.stdout).encoding or "utf-8"


def shown_in(encoding: str, text: str) -> str:
    r"""Escape the symbols that an encoding lacks, so that the width of the text is known.

    Examples:
        >>> print(shown_in("ascii", "币安"), shown_in("utf-8", "币安"))
        \u5e01\u5b89 币安
    """
    codecs.register_error("visible", escape_unencodable)
    return text.encode(encoding, "visible").decode(encoding)


def stdout_bytes() -> IO[bytes]:
    """Return standard output for bytes of text in UTF-8, which are escaped on a terminal."""
    return _VisibleBytes() if sys.stdout.isatty() else sys.stdout.buffer  # type: ignore[return-value]


class _VisibleBytes(io.RawIOBase):
    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        sys.stdout.write(self._decoder.decode(bytes(data)))
        return len(data)
