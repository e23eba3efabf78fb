"""Collections through proxies, with every name lookup watched."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.proxies.scene import Scene, open_scene
from tests.proxies.watch import sitecustomize
from tests.workflows.conftest import Collection, collection

__all__ = ["collection"]

WATCH = str(Path(sitecustomize.__file__).parent)


@pytest.fixture
def lookups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of names that this process and its children look up; made-up ones are not found."""
    path = tmp_path / "lookups"
    path.touch()
    for function in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
        watched = sitecustomize.watched(getattr(socket, function), str(path))
        monkeypatch.setattr(socket, function, watched)
    monkeypatch.setenv("LOOKUPS_LOG", str(path))
    monkeypatch.setenv("PYTHONPATH", WATCH)  # for commands; workers get the path of this process
    monkeypatch.syspath_prepend(WATCH)
    return path


@pytest.fixture
def scene(
    collection: Collection, tmp_path: Path, lookups: Path, uncovered_children: None
) -> Iterator[Scene]:
    """The archive under made-up names."""
    with open_scene(collection, tmp_path, lookups) as scene:
        yield scene
