"""A host of a cluster behind a slow link, which delays, drops and slows down its packets.

The link is a process of this machine between two network devices, as not every kernel can make a
link slow (`tc netem`).
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

from attrs import define, field, frozen
from tests.executors.dask.hosts import Host, ip

__all__ = ["Link", "a_slow_host", "missing_tun"]

_TUN = Path("/dev/net/tun")

#: `ioctl` requests and flags of <linux/if_tun.h>: packets of IP, without a header of the device.
_SET_INTERFACE = 0x400454CA
_PACKETS = 0x0001 | 0x1000

#: A router holds so many packets, and drops those that come then.
_MOST_PACKETS = 1000


def missing_tun() -> str:
    """Why this machine has no such link; empty if it has."""
    try:
        os.close(os.open(_TUN, os.O_RDWR))
    except OSError as error:
        return f"{_TUN} cannot be opened: {error.strerror}"
    return ""


@frozen
class Link:
    """What a link does to packets, in each direction.

    Attributes:
        delay_s: How much later each arrives.
        loss: The share of packets that are dropped.
        bytes_per_second: How many bytes pass.
    """

    delay_s: float
    loss: float
    bytes_per_second: int


@define(eq=False)
class _Direction:
    """Packets from one device to another."""

    link: Link
    source: int
    target: int
    chance: Random
    dropped: int = 0
    _free_at: float = 0.0
    _waiting: deque[tuple[float, bytes]] = field(factory=deque)

    def take(self) -> None:
        """Take a packet from the source."""
        packet, now = os.read(self.source, 1 << 16), time.monotonic()
        if len(self._waiting) >= _MOST_PACKETS or self.chance.random() < self.link.loss:
            self.dropped += 1
            return
        self._free_at = max(now, self._free_at) + len(packet) / self.link.bytes_per_second
        self._waiting.append((self._free_at + self.link.delay_s, packet))

    def deliver(self) -> float:
        """Write what is due; return the time until the next packet is, at most a tenth second."""
        while self._waiting:
            left = self._waiting[0][0] - time.monotonic()
            if left > 0:
                return min(left, 0.1)
            with suppress(OSError):  # the device is down
                os.write(self.target, self._waiting.popleft()[1])
        return 0.1


def _relay(directions: list[_Direction], ended: threading.Event) -> None:
    while not ended.is_set():
        within = min(each.deliver() for each in directions)
        ready, _, _ = select.select([each.source for each in directions], [], [], within)
        for each in directions:
            if each.source in ready:
                each.take()


def _device(name: str) -> int:
    """Make a device of packets; it is there until its descriptor is closed."""
    descriptor = os.open(_TUN, os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(descriptor, _SET_INTERFACE, struct.pack("16sH22x", name.encode(), _PACKETS))
    return descriptor


@contextmanager
def a_slow_host(link: Link) -> Iterator[tuple[Host, list[_Direction]]]:
    """Make a host behind a link; its processes must have ended before it is removed.

    Yields:
        The host, and both directions of the link.
    """
    number = os.getpid() % 250 + 1
    host = Host(
        f"lakehouse{os.getpid()}s", f"10.214.{number}.1", f"10.214.{number}.2", f"lt{os.getpid()}a"
    )
    inner = f"lt{os.getpid()}b"
    here, there = _device(host.link), _device(inner)
    directions = [
        _Direction(link, here, there, Random(1)),
        _Direction(link, there, here, Random(2)),
    ]
    ended = threading.Event()
    relay = threading.Thread(target=_relay, args=(directions, ended))
    try:
        ip("netns", "add", host.name)
        try:
            ip("link", "set", inner, "netns", host.name)
            ip("addr", "add", host.address, "peer", host.own, "dev", host.link)
            ip("link", "set", host.link, "up")
            ip("-n", host.name, "addr", "add", host.own, "peer", host.address, "dev", inner)
            for device in (inner, "lo"):
                ip("-n", host.name, "link", "set", device, "up")
            relay.start()
            yield host, directions
        finally:
            ended.set()
            with suppress(RuntimeError):  # it was not started
                relay.join()
            ip("netns", "del", host.name)
    finally:
        os.close(here)
        os.close(there)
