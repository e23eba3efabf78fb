"""What identifies an output in a database that several machines share.

For an output in an object store that is its URL, which is the same on each machine. The path of a
directory may be that of another directory on another machine, so a directory has a file with an id,
which moves with it.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from attrs import frozen

from crypto_lakehouse.core.errors import LedgerError
from crypto_lakehouse.core.os_error_hints import exit_code_of

__all__ = ["FileIdentity", "OutputIdentity", "UrlIdentity"]

_ID = re.compile(r"directory [0-9a-f]{32}\n")


class OutputIdentity(Protocol):
    """Identifies one output."""

    def read(self) -> str | None:
        """Return the text that identifies it; None if it has none yet; blocking.

        Raises:
            LedgerError: It cannot be read.
        """
        ...

    def make(self) -> str:
        """As `read`; make one if there is none; blocking.

        Raises:
            LedgerError: It cannot be read or written.
        """
        ...


@frozen
class UrlIdentity:
    """The URL of an output in an object store, with the endpoint or account of the store."""

    text: str

    def read(self) -> str:
        """Return the text."""
        return self.text

    make = read


@frozen
class FileIdentity:
    """The id of a directory, in a file of it."""

    path: Path

    def read(self) -> str | None:
        """Return the id; None if there is no file; blocking.

        Raises:
            LedgerError: It cannot be read, or is damaged.
        """
        try:
            text = self.path.read_text("ascii")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            reason = f"the id of the output cannot be read: {error}"
            raise LedgerError(str(self.path), reason, exit_code=exit_code_of(error)) from error
        if not _ID.fullmatch(text):
            reason = "it is not the id of an output; remove it, and the next run makes another"
            raise LedgerError(str(self.path), reason)
        return text.strip()

    def make(self) -> str:
        """Return the id; make one if there is none; blocking.

        Raises:
            LedgerError: It cannot be read or written.
        """
        made = self.path.with_name(f"{self.path.name}.{uuid4().hex}")
        if (known := self.read()) is not None:
            return known
        try:
            made.write_text(f"directory {uuid4().hex}\n", "ascii")
            try:
                with suppress(FileExistsError):
                    self.path.hardlink_to(made)  # of two runs, one makes it
            finally:
                made.unlink()
        except OSError as error:
            reason = f"the id of the output cannot be written: {error.strerror}"
            raise LedgerError(str(self.path), reason, exit_code=exit_code_of(error)) from error
        return str(self.read())
