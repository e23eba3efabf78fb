"""Hosts of a cluster as network namespaces of this machine, each behind a link of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

__all__ = ["Host", "a_host", "ip", "missing"]


def ip(*words: str) -> None:
    """Run a command of iproute2."""
    subprocess.run(["ip", *words], check=True, capture_output=True)


def missing() -> str:
    """Why this machine has no network namespaces; empty if it has."""
    if os.geteuid() != 0:
        return "only root may create network namespaces"
    if shutil.which("ip") is None:
        return "there is no `ip` (package iproute2)"
    name = f"lakehouse{os.getpid()}"
    try:
        ip("netns", "add", name)
        ip("netns", "del", name)
    except subprocess.CalledProcessError as error:
        return f"no network namespace can be created: {error.stderr.decode().strip()}"
    return ""


@frozen
class Host:
    """A host that reaches this machine by one link.

    Attributes:
        name: Of its namespace.
        address: Of this machine, on the link.
        own: Its own address.
        link: The end of the link on this machine.
    """

    name: str
    address: str
    own: str
    link: str

    @property
    def command(self) -> tuple[str, ...]:
        """What runs a command on this host."""
        return ("ip", "netns", "exec", self.name)

    def cut_off(self) -> None:
        """Take the link down."""
        ip("link", "set", self.link, "down")

    def come_back(self) -> None:
        """Bring the link up again."""
        ip("link", "set", self.link, "up")


@contextmanager
def a_host() -> Iterator[Host]:
    """Make a host; its processes must have ended before it is removed."""
    number = os.getpid() % 250 + 1
    host = Host(
        f"lakehouse{os.getpid()}", f"10.213.{number}.1", f"10.213.{number}.2", f"lh{os.getpid()}a"
    )
    inner = f"lh{os.getpid()}b"
    ip("netns", "add", host.name)
    try:
        ip("link", "add", host.link, "type", "veth", "peer", "name", inner, "netns", host.name)
        ip("addr", "add", f"{host.address}/30", "dev", host.link)
        ip("link", "set", host.link, "up")
        ip("-n", host.name, "addr", "add", f"{host.own}/30", "dev", inner)
        for device in (inner, "lo"):
            ip("-n", host.name, "link", "set", device, "up")
        yield host
    finally:
        if Path(f"/sys/class/net/{host.link}").exists():
            ip("link", "del", host.link)
        ip("netns", "del", host.name)
