"""Run a server on a free port of 127.0.0.1, for as long as a test needs it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["free_port", "running"]

#: A server that does not take connections after this long, in seconds, has failed.
_START_S = 60.0

#: How long a server may take to end before it is killed.
_END_S = 20.0


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def running(
    command: Sequence[str],
    port: int,
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    user: str | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the context ends.

    Args:
        command: Its command.
        port: The port on 127.0.0.1 that it listens on.
        log: The file for its output.
        environment: Variables in addition to those of this process.
        user: The user it runs as; None for that of this process.

    Raises:
        RuntimeError: It does not listen; the error has its output.
    """
    # If this process is killed, the server ends too.
    tied = ["setpriv", "--pdeathsig", "TERM", "--"] if shutil.which("setpriv") else []
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [*tied, *command],
            env={**os.environ, **(environment or {})},
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            user=user,
            group=_group_of(user),
            extra_groups=None if user is None else [],
        ) as process,
    ):
        try:
            _wait_for(process, port, log)
            yield process
        finally:
            _end(process)


def _group_of(user: str | None) -> int | None:
    import pwd

    return None if user is None else pwd.getpwnam(user).pw_gid


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until it takes connections; nothing else says that it is ready."""
    end = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), _START_S).close()
        except ConnectionRefusedError:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.02)
        else:
            return
    said = log.read_text(errors="replace")[-2000:]
    raise RuntimeError(f"{process.args!r} does not listen on port {port}:\n{said}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
