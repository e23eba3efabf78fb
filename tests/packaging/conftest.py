"""The wheel, and environments into which it was installed, with each extra alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from tests.packaging.installed import ORCHESTRATORS, ROOT, Environment, build, index_fault

from crypto_lakehouse.testing import ArchiveServer

Install = Callable[[str], Environment]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    return build("wheel", ROOT, tmp_path_factory.mktemp("built") / "wheel")


@pytest.fixture(scope="session")
def install(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Install:
    """Installs the wheel with an extra into an empty environment.

    Processes that run tests share the environments, each of which takes up to a minute to fill.
    """
    if fault := index_fault(tmp_path_factory.mktemp("index")):
        pytest.skip(f"pip gets no packages, so the wheel was NOT installed anywhere: {fault}")
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if base.name.startswith("popen-") else base) / "environments"
    folder.mkdir(exist_ok=True)

    def environment(extra: str) -> Environment:
        place = folder / (extra or "alone")
        done = folder / f"{place.name}.done"
        base = environment("") if extra and extra not in ORCHESTRATORS else None
        with FileLock(folder / f"{place.name}.lock"):
            if not done.exists():
                Environment.make(place, wheel, extra, base)
                done.touch()
        return Environment(place, place / "home")

    return environment


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    """A source on loopback."""
    with ArchiveServer() as source:
        yield source
