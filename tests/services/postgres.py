"""PostgreSQL, from a package of the Python index."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from attrs import frozen
from tests.services.installed import program
from tests.services.running import free_port, running

__all__ = ["PostgresServer", "postgres"]

#: PostgreSQL refuses to run as root; this user is on every system.
_OTHER_USER = "nobody"

#: Nothing here has to survive a power loss.
_SETTINGS = {"fsync": "off", "unix_socket_directories": "", "listen_addresses": "127.0.0.1"}


@frozen
class PostgresServer:
    """A PostgreSQL server with one user, `postgres`, who needs no password.

    Attributes:
        host: Its address.
        port: Its port.
    """

    host: str
    port: int

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database."""
        return f"postgresql://postgres@{self.host}:{self.port}/{database}"


@contextmanager
def postgres(folder: Path) -> Iterator[PostgresServer]:
    """Run PostgreSQL with empty databases.

    Args:
        folder: For its files.
    """
    server = program("postgres")
    user = _OTHER_USER if os.geteuid() == 0 else None
    with ExitStack() as resources:
        if user is not None:
            # Each start of pytest closes its own folder, that of the other tests, to other users.
            made = tempfile.TemporaryDirectory(prefix="crypto-lakehouse-postgres-")
            folder = Path(resources.enter_context(made))
            _give(folder, server, user)
        data = folder / "databases"
        command = [str(server.with_name("initdb")), "-D", str(data), "-U", "postgres"]
        options = ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        _run([*command, *options], folder, user)
        port = free_port()
        settings = [f"--{name}={value}" for name, value in {**_SETTINGS, "port": port}.items()]
        command = [str(server), "-D", str(data), *settings]
        log = folder / "postgres.log"
        process = resources.enter_context(running(command, port, log, user=user))
        _wait_for(process, server, port)
        yield PostgresServer("127.0.0.1", port)


def _wait_for(process: subprocess.Popen[bytes], server: Path, port: int) -> None:
    """Wait until it takes commands: it takes connections earlier."""
    ask = [str(server.with_name("pg_isready")), "--quiet", "--host=127.0.0.1", f"--port={port}"]
    while subprocess.run(ask, check=False).returncode != 0:
        assert process.poll() is None, "PostgreSQL has ended; its log says why"


def _give(folder: Path, server: Path, user: str) -> None:
    """Let another user write to a folder, and skip the test if that user cannot reach it."""
    shutil.chown(folder, user)
    trial = ["test", "-x", str(server), "-a", "-w", str(folder)]
    done = subprocess.run(trial, check=False, user=user, extra_groups=[])
    if done.returncode != 0:
        pytest.skip(f"postgres runs as `{user}`, who cannot reach {server} or {folder}")


def _run(command: list[str], folder: Path, user: str | None) -> None:
    groups: list[int] | None = None if user is None else []
    done = subprocess.run(
        command, check=False, capture_output=True, cwd=folder, user=user, extra_groups=groups
    )
    assert done.returncode == 0, done.stderr.decode()
