"""The lake of an ingestion, as the processes find it that write its data files."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from attrs import evolve, frozen

from crypto_lakehouse.core.errors import ConfigurationError, Problem, StoreError
from crypto_lakehouse.workflows.wiring.lake_at import LakeAt
from crypto_lakehouse.workflows.wiring.own_credentials import (
    strip_credentials,
    with_own_credentials,
)

if TYPE_CHECKING:
    from crypto_lakehouse.stores.objects.client import ObjectClient
    from crypto_lakehouse.tables.iceberg.lake_place import LakePlace

__all__ = ["WorkersLake", "shown_lake"]

_SUFFIX = ".run"

#: Below the URL of a lake.
_FOLDER = ".lakehouse/workers/"

_NAME = re.compile(rf"[0-9a-f]{{32}}{re.escape(_SUFFIX)}")

#: The token of a run that was killed on another machine is deleted after 30 days: no run takes as
#: long.
_TOKEN_LASTS_NS = 30 * 24 * 3600 * 10**9


@frozen(kw_only=True)
class WorkersLake:
    """Where a process finds the lake that it writes data files into.

    Attributes:
        at: Where the lake is.
        token: What this run has put into the lake, so that a worker can prove that it has the same
            one: the path of a file, or the key of an object. None for a process of this machine.
        credentials: The keys of the configuration of the object store whose values had credentials,
            which are not sent.
    """

    at: LakeAt
    token: str | None = None
    credentials: tuple[str, ...] = ()

    def open(self) -> LakePlace:
        """Open the lake in this process, and prove that it is that of the run; blocking.

        Raises:
            ConfigurationError: It is another one here, or credentials are missing.
            ExtraMissing: An extra is not installed.
            StoreError: The object store cannot be reached, or objects cannot be written, with the
                credentials of this machine.
        """
        at = self.at
        if at.stored is not None:
            at = evolve(at, stored=with_own_credentials(at.stored, self.credentials, os.environ))
        place = at.place()
        if self.token is None:
            return place
        if place.client is None:
            self._prove(Path(self.token).is_file(), "mount it")
            return place
        self._prove_object(place.client, self.token)
        return evolve(place, folder=Path(tempfile.gettempdir()))

    def _prove_object(self, client: ObjectClient, token: str) -> None:
        """Read the token, and write it again: a worker must be able to do both."""
        content = token.encode()
        has_it = client.read(token, len(content) + 1) == content
        self._prove(has_it, "give the worker the settings of the run's object store")
        client.put(token, content)

    def _prove(self, has_it: bool, remedy: str) -> None:
        if not has_it:
            what = "the lake's directory" if self.at.url is None else "the lake"
            reason = f"`{self.at.name}` is not {what} of the run on this machine; {remedy}"
            raise ConfigurationError([Problem("$.lake", reason)])


@contextmanager
def shown_lake(at: LakeAt) -> Iterator[WorkersLake]:
    """Put a token into a lake for the length of a run, and delete those of killed runs; blocking.

    The caller must hold the lake's lock: no other run of this machine has a token then.

    Yields:
        The lake, for workers of a cluster.

    Raises:
        ConfigurationError: The endpoint of the object store has credentials.
        OSError: The directory cannot be written.
        StoreError: The object store fails.
    """
    name = f"{uuid4().hex}{_SUFFIX}"
    if at.stored is None:
        with _file(at.folder, name) as token:
            yield WorkersLake(at=at, token=token)
        return
    client = at.place().client
    assert client is not None  # noqa: S101 - for the type checker
    stored, keys = strip_credentials(at.stored)
    sent = WorkersLake(at=evolve(at, stored=stored), token=f"{_FOLDER}{name}", credentials=keys)
    with _noted(client, at.folder, name), _object(client, f"{_FOLDER}{name}"):
        yield sent


def _left(folder: Path) -> list[Path]:
    """The files of runs that were killed; make the folder, if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    return [path for path in folder.glob(f"*{_SUFFIX}") if _NAME.fullmatch(path.name)]


@contextmanager
def _noted(client: ObjectClient, folder: Path, name: str) -> Iterator[None]:
    """Note the name of an object in the lake's local folder, and delete those of killed runs."""
    left = _left(folder)
    note = folder / name
    note.touch()
    try:
        with suppress(StoreError):  # objects can be stored without the right to delete
            client.delete(*(f"{_FOLDER}{each.name}" for each in left))
            for each in left:
                each.unlink(missing_ok=True)
        yield
    finally:
        note.unlink(missing_ok=True)


@contextmanager
def _file(folder: Path, name: str) -> Iterator[str]:
    for left in _left(folder):
        left.unlink(missing_ok=True)
    token = folder / name
    token.touch()
    try:
        yield str(token)
    finally:
        token.unlink(missing_ok=True)


@contextmanager
def _object(client: ObjectClient, key: str) -> Iterator[None]:
    client.put(key, key.encode())
    try:
        _delete_left(client, key)
        yield
    finally:
        with suppress(StoreError):  # one that is left does no harm
            client.delete(key)


def _delete_left(client: ObjectClient, own: str) -> None:
    """Delete the tokens of runs of any machine that were killed long ago, by the store's clock.

    Other machines may ingest at the same time: their tokens stay.
    """
    with suppress(StoreError):  # objects can be stored without the right to delete
        found = {info.key: info.written_ns for info in client.objects(_FOLDER)}
        written = {key: at for key, at in found.items() if _is_token(key)}
        now = written.get(own, 0)
        client.delete(*(key for key, at in written.items() if now - at > _TOKEN_LASTS_NS))


def _is_token(key: str) -> bool:
    return key.startswith(_FOLDER) and bool(_NAME.fullmatch(key.removeprefix(_FOLDER)))
