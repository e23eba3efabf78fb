"""tinyproxy and microsocks, where they are installed, with names that they alone can resolve.

Both resolve names as the system does, so each runs with an /etc/hosts of its own: in a mount
namespace, which takes root.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from attrs import define
from tests.proxies.loopback import WAIT_S

__all__ = ["RealProxy", "microsocks", "needs", "tinyproxy"]

#: Puts a file in the place of /etc/hosts for one command.
_WITH_HOSTS = ("unshare", "--mount", "--propagation", "private", "sh", "-c",
               'mount --bind "$1" /etc/hosts && shift && exec "$@"', "sh")  # fmt: skip


@define
class RealProxy:
    """A proxy that runs.

    Attributes:
        url: Where it listens, as `proxy` has it, with the user that it wants.
        log: The file that it writes what it is asked to.
    """

    url: str
    log: Path

    def said(self, text: str) -> bool:
        """Whether its log names something."""
        return text in self.log.read_text(errors="replace")


def needs(program: str) -> pytest.MarkDecorator:
    """Skip a test, and say so, where a program or what it takes to run it is missing."""
    missing = shutil.which(program) is None
    why = f"{program} IS NOT INSTALLED: `make system-packages` as root brings it"
    if not missing and not _can_have_hosts():
        missing, why = True, f"{program} needs an /etc/hosts of its own, and that takes root"
    return pytest.mark.skipif(missing, reason=why)


def _can_have_hosts() -> bool:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    trial = [*_WITH_HOSTS, os.devnull, "true"]
    return subprocess.run(trial, check=False, capture_output=True).returncode == 0


@contextmanager
def tinyproxy(folder: Path, names: Mapping[str, str], user: str = "") -> Iterator[RealProxy]:
    """Run tinyproxy.

    Args:
        folder: For its files.
        names: Hosts, and their addresses.
        user: `name:password` of who may use it; empty for everybody.
    """
    name, _, password = user.partition(":")
    port = _free_port()
    lines = [f"Port {port}", "Listen 127.0.0.1", "Timeout 60", "MaxClients 100"]
    lines += ["LogLevel Connect", *([f"BasicAuth {name} {password}"] if user else [])]
    configuration = folder / "tinyproxy.conf"
    configuration.write_text("\n".join([*lines, ""]))
    log = folder / "tinyproxy.log"
    with _running(["tinyproxy", "-d", "-c", str(configuration)], folder, names, port, log):
        yield RealProxy(_url("http", port, user), log)


@contextmanager
def microsocks(folder: Path, names: Mapping[str, str], user: str = "") -> Iterator[RealProxy]:
    """Run microsocks, a SOCKS 5 server; arguments as those of `tinyproxy`."""
    name, _, password = user.partition(":")
    port = _free_port()
    command = ["microsocks", "-i", "127.0.0.1", "-p", str(port)]
    command += ["-u", name, "-P", password] if user else []
    log = folder / "microsocks.log"
    with _running(command, folder, names, port, log):
        yield RealProxy(_url("socks5h", port, user), log)


def _url(scheme: str, port: int, user: str) -> str:
    return f"{scheme}://{user}{'@' if user else ''}127.0.0.1:{port}"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def _running(
    command: list[str], folder: Path, names: Mapping[str, str], port: int, log: Path
) -> Iterator[None]:
    hosts = folder / "hosts"
    hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{ip} {it}\n" for it, ip in names.items()))
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [*_WITH_HOSTS, str(hosts), *command], stdout=output, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            _wait_for(process, port)
            yield
        finally:
            process.terminate()


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait until it takes connections; there is nothing else that tells."""
    end = time.monotonic() + WAIT_S
    while process.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), WAIT_S).close()
        except ConnectionRefusedError:
            os.sched_yield()
        else:
            return
    raise RuntimeError(f"{process.args!r} does not listen")
