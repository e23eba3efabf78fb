"""The folder of the ledger, the run's lock, and the locks of worker processes.

It is always local, wherever the archives are stored.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

from attrs import field, frozen

from crypto_lakehouse.core.config.origins import KEYWORD, MAPPING, OVERRIDE
from crypto_lakehouse.core.errors import ConfigurationError, Problem, StoreError
from crypto_lakehouse.stores.confined import remove_empty, remove_file
from crypto_lakehouse.stores.directory import OWN_FOLDER
from crypto_lakehouse.stores.os_errors import what_to_do

__all__ = ["StateFolder", "directory_fault", "existing_root", "relative_note"]


def _absolute(root: str | Path) -> Path:
    return Path(root).expanduser().absolute()


def directory_fault(output_directory: str | os.PathLike[str]) -> str:
    """Return why an output directory cannot be read; empty if it can."""
    root = _absolute(os.fspath(output_directory))
    try:
        if root.is_dir():
            StateFolder(root).ledger.is_file()  # raises if its folder cannot be searched
            return ""
    except OSError as error:
        return f"`{root}` cannot be read: {what_to_do(error, str(root))}"
    return f"`{root}` is not a directory; name the one that `collect` wrote to"


def existing_root(output_directory: str | os.PathLike[str]) -> Path:
    """Return the absolute path of an output directory that is only read.

    Raises:
        ConfigurationError: It does not exist, is not a directory, or cannot be read.
    """
    if fault := directory_fault(output_directory):
        raise ConfigurationError([Problem("$.output_directory", fault)])
    return _absolute(os.fspath(output_directory))


def relative_note(output_directory: str, origins: Mapping[str, str]) -> str:
    """Return a remark on a relative output directory that a file or a variable sets; else empty.

    Args:
        output_directory: As configured.
        origins: The origins of the configuration's values.
    """
    is_typed = origins.get("output_directory") in {OVERRIDE, KEYWORD, MAPPING}
    if is_typed or Path(output_directory).expanduser().is_absolute():
        return ""
    root = _absolute(output_directory)
    return f"the output directory is {root}, relative to the working directory"


@frozen
class StateFolder:
    """The folder `.lakehouse` of an output directory.

    Args:
        root: The output directory.
    """

    root: Path = field(converter=_absolute)

    @property
    def path(self) -> Path:
        """The folder itself."""
        return self.root / OWN_FOLDER

    @property
    def ledger(self) -> Path:
        """The path of the ledger."""
        return self.path / "ledger.sqlite"

    @property
    def lock(self) -> Path:
        """The path of the lock that a run holds while it works on the directory."""
        return self.path / "lock"

    @property
    def workers(self) -> Path:
        """The folder with the locks of worker processes."""
        return self.path / "workers"

    def refuse_links(self) -> None:
        """Check that no link redirects what is written here.

        Raises:
            ConfigurationError: The folder, or that of the workers' locks, is a symbolic link.
        """
        for path in (self.path, self.workers):
            if path.is_symlink():
                reason = f"`{path}` is a symbolic link; nothing is written where it leads: "
                raise ConfigurationError([Problem("$.output_directory", f"{reason}remove it")])

    def make(self) -> tuple[Path, ...]:
        """Create the folder if it is absent; blocking.

        Returns:
            The folders that were absent, innermost first: this one, and those above it.

        Raises:
            ConfigurationError: The folder, or that of the workers' locks, is a symbolic link.
            OSError: The folder cannot be created.
        """
        self.refuse_links()
        folders = (self.path, *self.path.parents)
        absent = tuple(takewhile(lambda folder: not folder.exists(), folders))
        self.path.mkdir(parents=True, exist_ok=True)
        return absent

    def unmake(self, made: Sequence[Path]) -> None:
        """Remove the folders that `make` created for a run that did not begin; blocking.

        The caller must hold the lock. The files of a ledger and of the lock are removed with them;
        folders that hold anything else stay.
        """
        if self.path not in made:
            return
        above = str(made[-1].parent)
        names = [self.lock.name, *(f"{self.ledger.name}{end}" for end in ("", "-wal", "-shm"))]
        with suppress(OSError, StoreError):  # what is left does no harm
            for name in names:
                remove_file(above, str(self.path / name))
            remove_empty(above, str(self.path), up_to=above)
