"""The folder of the ledger, the run's lock, and the locks of worker processes.

It is always local, wherever the archives are stored.
"""

from __future__ import annotations

from pathlib import Path

from attrs import field, frozen

from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.stores.directory import OWN_FOLDER

__all__ = ["StateFolder"]


def _absolute(root: str | Path) -> Path:
    return Path(root).expanduser().absolute()


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

    def make(self) -> None:
        """Create the folder if it is absent; blocking.

        Raises:
            ConfigurationError: The folder, or that of the workers' locks, is a symbolic link.
            OSError: The folder cannot be created.
        """
        self.refuse_links()
        self.path.mkdir(parents=True, exist_ok=True)
