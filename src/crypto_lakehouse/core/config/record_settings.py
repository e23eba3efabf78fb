"""The settings of `record`: streams, the length of segments, snapshots of books, and tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from crypto_lakehouse.core.config.nested_settings import (
    market_urls,
    nested_settings,
    unknown_name,
)
from crypto_lakehouse.core.hosts import is_loopback, is_plain_host
from crypto_lakehouse.core.messages import shown
from crypto_lakehouse.core.stream_kinds import StreamKind

__all__ = ["RECORD_STREAMS", "ROTATIONS", "SNAPSHOT_TIMES", "record_settings", "record_urls_faults"]

#: The kinds that a stream has; order books as a whole come from another endpoint.
RECORD_STREAMS = tuple(kind for kind in StreamKind if kind is not StreamKind.DEPTH_SNAPSHOT)

#: How long a segment may be, with the seconds: parts of an hour.
ROTATIONS: Mapping[str, int] = {
    "5m": 300, "6m": 360, "10m": 600, "12m": 720, "15m": 900, "20m": 1200, "30m": 1800, "1h": 3600,
}  # fmt: skip

#: How often each order book may be fetched, with the seconds.
SNAPSHOT_TIMES: Mapping[str, int] = {
    "1m": 60, "2m": 120, "5m": 300, "10m": 600, "15m": 900, "30m": 1800, "1h": 3600,
}  # fmt: skip


def record_settings(value: object) -> dict[str, Any]:
    """Return the settings of `record` in plain JSON types.

    Raises:
        TypeError: It is no mapping, or a value has another type.
        ValueError: A key is unknown, or a value is not one of its key.
    """
    return nested_settings(value, _READERS, "{rotate: 1h}")


def record_urls_faults(
    urls: Mapping[str, str], allow_http: bool | None
) -> Iterator[tuple[str, str]]:
    """Yield each market whose address cannot be used, and why not."""
    for market, url in urls.items():
        if fault := _url_fault(url, allow_http):
            yield market, fault


def _url_fault(url: str, allow_http: bool | None) -> str:
    wanted = "must be an absolute wss:// URL"
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:  # the text of the error quotes user information
        return f"not a URL; {wanted}"
    if parts.scheme not in {"ws", "wss"} or not host or not is_plain_host(parts.netloc, host):
        return wanted
    if parts.query or parts.fragment or any(character.isspace() for character in url):
        return f"{wanted}; it has a space, a query or a fragment"
    if parts.scheme == "ws" and allow_http is False and not is_loopback(host):
        return (
            f"`ws` to `{shown(host)}` would be neither encrypted nor authenticated; write wss://, "
            "or set `allow_http: true` if you trust every network in between"
        )
    return ""


def _streams(value: object) -> list[str]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)) or not items:
        raise TypeError(f"`streams` must be a list of streams, not `{shown(value)}`")
    for each in items:
        if each not in RECORD_STREAMS:
            raise ValueError(f"`streams`: {unknown_name('stream', each, RECORD_STREAMS)}")
    return [str(each) for each in dict.fromkeys(items)]


def _ingest(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"`ingest` must be true or false, not `{shown(value)}`")
    return value


def _one_of(name: str, lengths: Mapping[str, int]) -> Callable[[object], str]:
    def read(value: object) -> str:
        if not isinstance(value, str) or value not in lengths:
            raise ValueError(f"`{name}`: {unknown_name('length', value, lengths)}")
        return value

    return read


_READERS: Mapping[str, Callable[[object], object]] = {
    "streams": _streams,
    "rotate": _one_of("rotate", ROTATIONS),
    "snapshots": _one_of("snapshots", SNAPSHOT_TIMES),
    "urls": market_urls,
    "ingest": _ingest,
}
