"""Where the archives are: a store for the bytes, and a local folder for the ledger and the locks.

Every command and every function that takes an output directory takes it by `output_of`, so that a
directory and the URL of an object store are the same to all of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from attrs import define, field

from crypto_lakehouse.core.config.own_folder import own_folder_fault
from crypto_lakehouse.core.config.storage import StoreUrl, is_url, store_url_fault
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.file_identity import StoredFiles
from crypto_lakehouse.core.protocols import Store
from crypto_lakehouse.core.redaction import redact
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.stores.os_errors import what_to_do
from crypto_lakehouse.stores.state import StateFolder, directory_fault, relative_note

if TYPE_CHECKING:
    from crypto_lakehouse.stores.objects.store import ObjectStore

__all__ = ["Output", "Place", "open_store", "open_store_at", "output_note", "output_of"]


class _HasFiles(Protocol):
    """Both stores of this package; an application's own one need not."""

    @property
    def files(self) -> StoredFiles: ...


@define
class Output:
    """Where the archives of a collection are.

    Attributes:
        place: The absolute path of the directory, or the URL; for messages.
        state: The folder of the ledger and the locks.
        is_url: Whether the archives are in an object store.
        config: The configuration that names the output; None if none does.
        ledger_copy: A copy of a ledger that is lost, for a command that only reads; else None.
        ledger_remarks: What the user is to know about the copy, one sentence each.
    """

    place: str
    state: StateFolder
    is_url: bool
    config: WorkflowConfig | None = field(repr=False)
    _open: Callable[[], Store] = field(repr=False)
    _store: Store | None = field(init=False, default=None, repr=False)
    ledger_copy: Path | None = field(init=False, default=None, repr=False)
    ledger_remarks: tuple[str, ...] = field(init=False, default=(), repr=False)

    @property
    def identity(self) -> str:
        """What tells it from every other output; outputs of two object stores may have one URL."""
        return str(self.state.path)

    @property
    def store(self) -> Store:
        """The store of the archives; opened on first use, without a request.

        Raises:
            ExtraMissing: It is an object store, and the extra `stores` is not installed.
            ConfigurationError: The settings of the object store do not fit together.
        """
        if self._store is None:
            self._store = self._open()
        return self._store

    @property
    def files(self) -> StoredFiles:
        """The files of the archives, as threads read them; errors are those of `store`."""
        return cast("_HasFiles", self.store).files

    @property
    def stage(self) -> LocalStore:
        """Where a recording writes: the output directory, or the state folder of a URL."""
        return LocalStore(self.state.path if self.is_url else self.state.root)

    def fault(self) -> str:
        """Return why the output cannot be read; empty if it can, as far as no request says."""
        if not self.is_url:
            return directory_fault(self.state.root)
        try:
            self.state.ledger.is_file()  # raises if its folder cannot be searched
        except OSError as error:
            path = str(self.state.path)
            return f"`{path}` cannot be read: {what_to_do(error, path, reads=True)}"
        is_shared = self.config is not None and self.config.ledger is not None
        return "" if is_shared else self.state.other_store()

    def check(self) -> None:
        """Check that the output can be read, as far as no request says.

        Raises:
            ConfigurationError: The directory does not exist or cannot be read, or the folder of
                the ledger cannot, or is another store's.
        """
        if problem := self.problem():
            raise ConfigurationError([problem])

    def problem(self) -> Problem | None:
        """Return what `fault` does, with the setting that is wrong; None if there is no fault."""
        if not (fault := self.fault()):
            return None
        is_other = self.is_url and bool(self.state.other_store())
        return Problem("$.state_directory" if is_other else "$.output_directory", fault)

    def lacks_ledger(self) -> str:
        """Return that the output has no ledger, as the beginning of a sentence."""
        of_state = f" in `{self.state.path}`" if self.is_url else ""
        if self.config is not None and self.config.ledger is not None:
            of_state = f" in `{self.config.ledger}`"
        return f"`{self.place}` has no ledger{of_state}"

    def needs_ledger(self) -> str:
        """Return that the output has no ledger, what may be the case, and what to do."""
        if self.ledger_remarks:  # there is a copy, which cannot be read
            return " ".join(self.ledger_remarks)
        lacks = self.lacks_ledger()
        if self.config is not None and self.config.ledger is not None:
            return f"{lacks}; no `collect` has used this database for it"
        elsewhere = "if its ledger is in PostgreSQL, name that with `ledger`"
        if not self.is_url:
            return f"{lacks}; `collect` makes one; {elsewhere}"
        return (
            f"{lacks}; if `collect` has written to it with another state folder, name that with "
            "`state_directory`; if that was lost, run `collect`, which fetches the copy of the "
            f"ledger from the store if there is one; {elsewhere}"
        )


Place = str | os.PathLike[str] | WorkflowConfig | Output
"""A directory, the URL of a prefix in an object store, or a configuration that names either."""


def output_of(place: Place, store: Store | None = None) -> Output:
    """Return where the archives are; nothing is read.

    Args:
        place: Names the output. A configuration has the settings of the object store too; without
            one they are those of the environment.
        store: An application's own store for the bytes; that of `place` by default.

    Raises:
        ConfigurationError: It is a URL, and not that of a prefix in an object store; or it is in
            the own folder of an output.
    """
    if isinstance(place, Output):
        return place
    config = place if isinstance(place, WorkflowConfig) else None
    text = os.fspath(place) if not isinstance(place, WorkflowConfig) else place.output_directory
    if not is_url(text):
        state = StateFolder(text)
        _refuse_own_folder(str(state.root))
        return Output(
            str(state.root), state, False, config, lambda: store or LocalStore(state.root)
        )
    if fault := store_url_fault(text):
        raise ConfigurationError([Problem("$.output_directory", fault)])
    _refuse_own_folder(text)
    url = StoreUrl.parse(text)
    storage = config.storage if config else None
    state = StateFolder.of_url(url, storage, config.state_directory if config else None)
    return Output(str(url), state, True, config, lambda: store or open_store_at(url, config))


def _refuse_own_folder(place: str) -> None:
    if fault := own_folder_fault(place):
        raise ConfigurationError([Problem("$.output_directory", fault)])


def output_note(config: WorkflowConfig) -> str:
    """Return a remark on where the output or its ledger is, if that is not plain; else empty."""
    output = output_of(config)
    if config.ledger is not None:
        return f"the ledger of {output.place} is in {redact(config.ledger)}"
    if output.is_url:
        return f"the ledger of {output.place} is in {output.state.path}"
    return relative_note(config.output_directory, config.origins)


def open_store(config: WorkflowConfig, root: str | None = None) -> Store:
    """Open the store that a configuration names; nothing is read or written.

    Args:
        config: Names the store.
        root: The output directory as an absolute path, for a process with another working
            directory than that of the run; by default it is the configuration's.

    Raises:
        ExtraMissing: The output is in an object store, and the extra `stores` is not installed.
        ConfigurationError: The settings of the object store do not fit together.
    """
    if root is not None and not is_url(config.output_directory):
        return LocalStore(root)
    return output_of(config).store


def open_store_at(url: StoreUrl, config: WorkflowConfig | None) -> ObjectStore:
    """Open an object store with the settings of a configuration, or those by default."""
    from crypto_lakehouse.stores.objects.opening import Connection, open_objects

    if config is None:
        return open_objects(url)
    return open_objects(url, config.storage, Connection.of(config))
