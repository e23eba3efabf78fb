"""The output of `verify` while it runs: problems, a line for each archive, SHA256SUMS."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Self, TextIO

from crypto_lakehouse.cli.progress import step_display
from crypto_lakehouse.collection.verifier import REPAIRABLE, FileState, StoredArchive
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import ArchiveKeyError, ConfigurationError, Problem, StoreError
from crypto_lakehouse.core.origin import Origin
from crypto_lakehouse.core.progress import StepProgress
from crypto_lakehouse.stores.os_errors import what_to_do
from crypto_lakehouse.stores.whole_file import whole_file

__all__ = ["Outputs"]

#: States of archives whose bytes are the published ones.
_GOOD = frozenset({FileState.OK, FileState.MISRECORDED})


class Outputs:
    """Receives each archive as it is verified; its files are either complete or absent.

    Args:
        combined: The file of marks; `-` is standard output.
        sums: The file of digests.
        is_part: Whether only a part of the tree is verified; the files then hold only that part.
        quiet: Whether no progress is shown.
    """

    def __init__(
        self, combined: str | None, sums: str | None, *, is_part: bool, quiet: bool
    ) -> None:
        self.damaged: list[Archive] = []
        self.has_foreign_damage = False
        self._resources = ExitStack()
        self._combined = self._open(combined, "--combined")
        self._sums = self._open(sums, "--sums")
        self._is_part = is_part and bool(sums)
        self._files = self._bytes = 0
        # Marks on the same terminal would be torn by a line that is repainted.
        is_torn = combined == "-" and sys.stdout.isatty()
        self._display = self._resources.enter_context(step_display(quiet=quiet or is_torn))

    def _open(self, path: str | None, option: str) -> TextIO | None:
        if path is None or path == "-":
            return sys.stdout if path else None
        try:
            return self._resources.enter_context(_opened(Path(path).absolute()))
        except OSError as error:
            reason = f"`{path}` cannot be written: {error.strerror or error}"
            raise ConfigurationError([Problem(option, reason)]) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._resources.__exit__(*error)  # type: ignore[arg-type]

    async def write(self, archive: StoredArchive) -> None:
        """Write the lines of one archive."""
        if self._combined is not None:
            _write(self._combined, f"{archive.state.mark} {archive.key}\n")
        if self._sums is not None and archive.state in _GOOD:
            _write(self._sums, f"{archive.sha256}  {archive.key}\n")
        if archive.state in REPAIRABLE:
            self._remember(archive.key)
        if archive.state is not FileState.OK and self._combined is not sys.stdout:
            self._display.print(f"{archive.state} {archive.key}: {archive.reason}")
        self._advance(archive.size_bytes)

    def _remember(self, key: str) -> None:
        try:
            self.damaged.append(Archive.published(key))
        except ArchiveKeyError:
            self.has_foreign_damage = True
            if key.endswith("/"):
                return  # a folder that cannot be read, which the line before says
            is_filled = key.startswith(f"{Origin.FILL.folder}/")
            again = (
                "; `fill --force-redownload` fetches it"
                if is_filled
                else ", so it cannot be fetched again"
            )
            self._display.print(f"{key} is not an archive of the publisher{again}")

    def _advance(self, size: int) -> None:
        self._files += 1
        self._bytes += size
        self._display.show(StepProgress("verifying", self._files, size_bytes=self._bytes))

    def finish(self) -> None:
        """Print a remark on what the files hold."""
        if self._is_part:
            self._display.print(
                "the file of digests holds the part that was verified, not the whole tree"
            )


class _NamedText(TextIOWrapper):
    """A text file that knows its path."""

    path = ""


def _write(stream: TextIO, line: str) -> None:
    try:
        stream.write(line)
    except OSError as error:
        if isinstance(stream, _NamedText):
            raise _not_written(stream.path, error) from error
        raise


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    """Open a text file that gets its final name when it is complete."""
    is_done = False
    try:
        with whole_file(path) as file:
            text = _NamedText(file, encoding="utf-8", errors="surrogateescape", newline="\n")
            text.path = str(path)
            try:
                yield text
                is_done = True
                text.flush()
            finally:
                with suppress(OSError):
                    text.detach()
    except OSError as error:
        if not is_done:  # it cannot be opened, or something else failed
            raise
        raise _not_written(str(path), error) from error


def _not_written(path: str, error: OSError) -> StoreError:
    return StoreError(path, f"it cannot be written: {what_to_do(error, path, '')}")
