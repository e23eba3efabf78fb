"""The output of `verify` while it runs: problems, a line for each archive, SHA256SUMS."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Self, TextIO

import click

from crypto_lakehouse.cli.render import bytes_text
from crypto_lakehouse.collection.verifier import DAMAGE, FileState, StoredArchive
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import ArchiveKeyError, ConfigurationError, Problem
from crypto_lakehouse.stores.whole_file import whole_file

__all__ = ["Outputs"]


class Outputs:
    """Receives each archive as it is verified; its files are either complete or absent.

    Args:
        combined: The file of marks; `-` is standard output.
        sums: The file of digests.
        is_part: Whether only a part of the tree is verified; the files then hold only that part.
    """

    def __init__(self, combined: str | None, sums: str | None, *, is_part: bool) -> None:
        self.damaged: list[Archive] = []
        self.has_foreign_damage = False
        self._resources = ExitStack()
        self._combined = self._open(combined, "--combined")
        self._sums = self._open(sums, "--sums")
        self._is_part = is_part and bool(sums)
        self._files = self._bytes = 0
        self._progress: Any = None

    def _open(self, path: str | None, option: str) -> TextIO | None:
        if path is None or path == "-":
            return sys.stdout if path else None
        try:
            return self._resources.enter_context(_opened(Path(path).absolute()))
        except OSError as error:
            reason = f"`{path}` cannot be written: {error.strerror or error}"
            raise ConfigurationError([Problem(option, reason)]) from error

    def __enter__(self) -> Self:
        if sys.stderr.isatty() and self._combined is not sys.stdout:
            from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            from crypto_lakehouse.cli.terminal import console

            columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
            on_stderr = console(stderr=True)
            self._progress = Progress(*columns, console=on_stderr, transient=True)
            self._progress.add_task("verifying", total=None)
            self._resources.enter_context(self._progress)
        return self

    def __exit__(self, *error: object) -> None:
        self._resources.__exit__(*error)  # type: ignore[arg-type]

    async def write(self, archive: StoredArchive) -> None:
        """Write the lines of one archive."""
        if self._combined is not None:
            self._combined.write(f"{archive.state.mark} {archive.key}\n")
        if self._sums is not None and archive.state is FileState.OK:
            self._sums.write(f"{archive.sha256}  {archive.key}\n")
        if archive.state in DAMAGE:
            self._remember(archive.key)
        if archive.state is not FileState.OK and self._combined is not sys.stdout:
            self._say(f"{archive.state} {archive.key}: {archive.reason}")
        self._advance(archive.size_bytes)

    def _remember(self, key: str) -> None:
        try:
            self.damaged.append(Archive.parse(key))
        except ArchiveKeyError:
            self.has_foreign_damage = True
            self._say(f"{key} is not an archive of the publisher, so it cannot be fetched again")

    def _say(self, line: str) -> None:
        if self._progress is not None:
            self._progress.console.print(line, markup=False, highlight=False)
        else:
            click.echo(line, err=True)

    def _advance(self, size: int) -> None:
        self._files += 1
        self._bytes += size
        if self._progress is not None and self._files % 16 == 0:
            text = f"{self._files} archives, {bytes_text(self._bytes)}"
            self._progress.update(self._progress.task_ids[0], description=text)

    def finish(self) -> None:
        """Print a remark on what the files hold."""
        if self._is_part:
            self._say("the file of digests holds the part that was verified, not the whole tree")


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    """Open a text file that gets its final name when it is complete."""
    with whole_file(path) as file:
        text = TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="\n")
        try:
            yield text
            text.flush()
        finally:
            with suppress(OSError):
                text.detach()
