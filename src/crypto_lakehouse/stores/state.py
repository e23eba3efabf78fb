"""The folder of the ledger, the run's lock, and the locks of worker processes.

It is always local, wherever the archives are stored.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Any

from attrs import field, frozen

from crypto_lakehouse.core.config.origins import KEYWORD, MAPPING, OVERRIDE
from crypto_lakehouse.core.config.own_folder import OWN_FOLDER
from crypto_lakehouse.core.config.storage import StoreUrl, is_url, store_identity
from crypto_lakehouse.core.errors import ConfigurationError, Problem, StoreError
from crypto_lakehouse.core.messages import shown
from crypto_lakehouse.stores.confined import remove_empty, remove_file
from crypto_lakehouse.stores.os_errors import what_to_do
from crypto_lakehouse.stores.state_note import recall, remember
from crypto_lakehouse.stores.user_path import absolute_path

__all__ = [
    "LAKE_FOLDER",
    "LAKE_LOCK",
    "StateFolder",
    "directory_fault",
    "lake_state",
    "relative_note",
]

#: The path of the lake in an output, of either kind (ARCHITECTURE.md#disk).
LAKE_FOLDER = f"{OWN_FOLDER}/lake"

#: The file that a run which writes to a lake locks, in the lake's local folder.
LAKE_LOCK = "lock"


def directory_fault(output_directory: str | os.PathLike[str]) -> str:
    """Return why an output directory cannot be read; empty if it can."""
    if is_url(os.fspath(output_directory)):
        return f"`{output_directory}` is in an object store; only a directory can be used for this"
    root = absolute_path(os.fspath(output_directory))
    try:
        if root.is_dir():
            StateFolder(root).ledger.is_file()  # raises if its folder cannot be searched
            return ""
    except OSError as error:
        return f"`{root}` cannot be read: {what_to_do(error, str(root), reads=True)}"
    return f"`{root}` is not a directory; name the one that `collect` wrote to"


def relative_note(output_directory: str, origins: Mapping[str, str]) -> str:
    """Return a remark on a relative output directory that a file or a variable sets; else empty.

    Args:
        output_directory: As configured.
        origins: The origins of the configuration's values.
    """
    is_typed = origins.get("output_directory") in {OVERRIDE, KEYWORD, MAPPING}
    if is_typed or is_url(output_directory) or Path(output_directory).expanduser().is_absolute():
        return ""
    root = absolute_path(output_directory)
    return f"the output directory is {root}, relative to the working directory"


def _state_home() -> Path:
    """Return the user's folder for the states of what is in object stores."""
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return absolute_path(Path(home, "crypto-lakehouse"))


def lake_state(
    url: StoreUrl, storage: Mapping[str, Any] | None = None, state_directory: str | None = None
) -> Path:
    """Return the local folder of a lake at a URL: of its catalog, journals and lock.

    Args:
        url: The lake.
        storage: The settings of its object store; each endpoint and account has a folder.
        state_directory: The directory that the folder is in; by default the user's folder for
            states.
    """
    home = _state_home() if state_directory is None else absolute_path(state_directory)
    return home / f"lake-{_name_of(url, storage)}"


def _name_of(url: StoreUrl, storage: Mapping[str, Any] | None) -> str:
    return hashlib.sha256(store_identity(url, storage).encode()).hexdigest()[:32]


@frozen
class StateFolder:
    """The folder of the ledger and the locks: `.lakehouse` of an output directory.

    Args:
        root: The output directory; for an output in an object store, the folder itself.
        own_folder: The name of the folder in `root`; empty if it is `root`.
        store: Identifies the prefix of an object store that the folder is for (`store_identity`);
            empty for a directory.
    """

    root: Path = field(converter=absolute_path)
    own_folder: str = OWN_FOLDER
    store: str = ""

    @classmethod
    def of_url(
        cls,
        url: StoreUrl,
        storage: Mapping[str, Any] | None = None,
        state_directory: str | None = None,
    ) -> StateFolder:
        """Return the folder for an output in an object store.

        Args:
            url: The output.
            storage: The settings of its object store.
            state_directory: The folder; by default one in the user's folder for states, which
                differs for each URL, endpoint and account.
        """
        root = Path(state_directory or _state_home() / _name_of(url, storage))
        return cls(root, own_folder="", store=store_identity(url, storage))

    @property
    def path(self) -> Path:
        """The folder itself."""
        return self.root / self.own_folder

    @property
    def ledger(self) -> Path:
        """The path of the ledger."""
        return self.path / "ledger.sqlite"

    @property
    def output_id(self) -> Path:
        """The path of the id that identifies a directory in a ledger that several outputs share."""
        return self.path / "output-id"

    @property
    def lock(self) -> Path:
        """The path of the lock that a run holds while it works on the directory."""
        return self.path / "lock"

    @property
    def daemon_lock(self) -> Path:
        """The path of the lock that a daemon holds as long as it runs."""
        return self.path / "daemon.lock"

    @property
    def store_note(self) -> Path:
        """The path of the note on which object store the folder is for."""
        return self.path / "store.json"

    @property
    def conditions(self) -> Path:
        """The path of the note on whether the object store honours conditions."""
        return self.path / "conditions.json"

    @property
    def lease(self) -> Path:
        """The path of the note on the lease of an object store."""
        return self.path / "lease.json"

    @property
    def ledger_copy(self) -> Path:
        """The path of the note on the copy of the ledger in the object store."""
        return self.path / "ledger-copy.json"

    @property
    def workers(self) -> Path:
        """The folder with the locks of worker processes."""
        return self.path / "workers"

    def other_store(self) -> str:
        """Return why the folder must not be used, as it is another store's; else empty; blocking.

        One that says nothing, as of an earlier version, can be used.
        """
        known = recall(self.store_note).get("store")
        if not self.store or not isinstance(known, str) or known == self.store:
            return ""
        return (
            f"`{self.path}` has the ledger of `{shown(known)}`, and not that of `{self.store}`; "
            "give each output a state directory of its own; or, if both names are of one store, "
            f"remove `{self.store_note}`"
        )

    def claim(self) -> None:
        """Record which object store the folder is for; blocking.

        The caller must hold the lock.

        Raises:
            ConfigurationError: It is another store's.
        """
        if fault := self.other_store():
            raise ConfigurationError([Problem("$.state_directory", fault)])
        if self.store and not self.store_note.exists():
            remember(self.store_note, {"store": self.store})

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

        The caller must hold the lock, or must have learned that it cannot be taken. The files of a
        ledger and of the lock are removed with them; folders that hold anything else stay. So does
        what is known of another run's lease, with the lock that it holds for: a later run takes
        the lease over once it has rested for long enough.
        """
        if self.path not in made:
            return
        above = str(made[-1].parent)
        ledger = [f"{self.ledger.name}{end}" for end in ("", "-wal", "-shm")]
        notes = (self.ledger_copy, self.output_id, self.store_note, self.conditions)
        names = [*ledger, *(path.name for path in notes)]
        if not self.lease.exists():
            names.append(self.lock.name)
        with suppress(OSError, StoreError):  # what is left does no harm
            for name in names:
                remove_file(above, str(self.path / name))
            remove_empty(above, str(self.path), up_to=above)
