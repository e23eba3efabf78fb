"""What an ingestion and the processes that write its items tell each other.

Not in `item_program`, which is the main module of a worker process: pickle finds no class of it.
"""

from __future__ import annotations

import os
from pathlib import Path

from attrs import frozen

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.executors.dask.protocol import DaskJob
from crypto_lakehouse.executors.processes.protocol import Job
from crypto_lakehouse.stores.output import Output, output_of
from crypto_lakehouse.workflows.wiring.own_credentials import (
    strip_credentials,
    with_own_credentials,
)
from crypto_lakehouse.workflows.wiring.workers_lake import WorkersLake

__all__ = ["ArchivesPlace", "DaskItemJob", "Failed", "ProcessItemJob"]


#: The numbers of an output directory and of its folder of archives, and when that was last changed.
DirectoryProof = tuple[int, int, int]


def _proof_of(directory: str) -> DirectoryProof:
    """Return what two machines see alike only if they have the same directory; blocking.

    The number of the directory alone proves little: that of each disk's root is the same on every
    machine. Nothing is written, as the directory may be read-only.
    """
    number = Path(directory).stat().st_ino
    try:
        archives = Path(directory, "data").stat()
    except FileNotFoundError:
        return number, 0, 0
    return number, archives.st_ino, archives.st_mtime_ns


@frozen(kw_only=True)
class ArchivesPlace:
    """Where another process finds the archives.

    Attributes:
        place: The absolute path of a directory, or a URL.
        proof: What identifies the directory, so that a worker can prove that it sees the same one;
            None for a URL.
        config: How the object store is reached; None for a directory.
        credentials: The keys of `config` whose values had credentials, which are not sent.
    """

    place: str
    proof: DirectoryProof | None = None
    config: WorkflowConfig | None = None
    credentials: tuple[str, ...] = ()

    @classmethod
    def of(cls, output: Output, *, with_credentials: bool) -> ArchivesPlace:
        """Describe where the archives are; blocking.

        Args:
            output: Where they are.
            with_credentials: Whether the process is on this machine and a child of this one.
        """
        if not output.is_url:
            return cls(place=output.place, proof=_proof_of(output.place))
        if output.config is None or with_credentials:
            return cls(place=output.place, config=output.config)
        config, keys = strip_credentials(output.config)
        return cls(place=output.place, config=config, credentials=keys)

    def open(self) -> Output:
        """Open the archives in this process, and prove that they are those of the run; blocking.

        Raises:
            ConfigurationError: The directory is another one here, or credentials are missing.
            ExtraMissing: The extra `stores` is needed, and not installed.
            StoreError: The object store cannot be reached with the credentials of this machine.
        """
        if self.proof is None:
            found: Output = output_of(self.place)
            if self.config is not None:
                own = with_own_credentials(self.config, self.credentials, os.environ)
                found = output_of(own)
            found.store.prepare()
            return found
        try:
            is_same = _proof_of(self.place) == self.proof
        except OSError:
            is_same = False
        if not is_same:
            reason = f"`{self.place}` is not the output directory of the run on this machine"
            raise ConfigurationError([Problem("$.output_directory", f"{reason}; mount it")])
        return output_of(self.place)


@frozen(kw_only=True)
class ProcessItemJob(Job):
    """The parameters of the worker processes of an ingestion.

    Attributes:
        archives: Where the archives are.
        lake: Where the data files are written.
    """

    archives: ArchivesPlace
    lake: WorkersLake


@frozen(kw_only=True)
class DaskItemJob(DaskJob):
    """The parameters of the agents of an ingestion.

    Attributes:
        archives: Where the archives are.
        lake: Where the data files are written.
    """

    archives: ArchivesPlace
    lake: WorkersLake


@frozen
class Failed:
    """In place of an item's result: an error that concerns every archive."""

    error: Exception
