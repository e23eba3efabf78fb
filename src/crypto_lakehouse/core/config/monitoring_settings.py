"""The settings of monitoring: where metrics are served, and the file that they are written to."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any

from crypto_lakehouse.core.config.nested_settings import nested_settings
from crypto_lakehouse.core.config.storage import is_url
from crypto_lakehouse.core.messages import shown

__all__ = ["TEXTFILE_SUFFIX", "serve_settings", "textfile_fault"]

#: Only this machine, unless an address is named.
_LOOPBACK = "127.0.0.1"

#: The collector of node_exporter reads files with this suffix, and ignores all others.
TEXTFILE_SUFFIX = ".prom"

_HOST_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?", re.ASCII)
_EXAMPLE = "{address: 127.0.0.1, port: 9108}"


def serve_settings(value: object) -> dict[str, Any]:
    """Return `address` and `port`, of a mapping, a port, or text such as `127.0.0.1:9108`.

    Raises:
        TypeError: It is none of these, or a value has another type.
        ValueError: A key is unknown, an address or a port is none, or there is no port.

    Examples:
        >>> serve_settings(9108)
        {'address': '127.0.0.1', 'port': 9108}
        >>> serve_settings("[::1]:0")
        {'address': '::1', 'port': 0}
    """
    if isinstance(value, str):
        value = _of_text(value.strip())
    elif isinstance(value, int) and not isinstance(value, bool):
        value = {"port": value}
    settings = nested_settings(value, _READERS, _EXAMPLE)
    if "port" not in settings:
        raise ValueError("`port` is missing; name one, or 0 for any that is free")
    return {"address": _LOOPBACK, **settings}


def _of_text(text: str) -> Mapping[str, object]:
    address, colon, port = text.rpartition(":")
    if not colon:
        return {"port": text}
    bracketed = address.startswith("[") and address.endswith("]")
    if ":" in address and not bracketed:
        raise ValueError(f"`{shown(text)}`: write an IPv6 address in brackets, as [::1]:9108")
    return {"address": address[1:-1] if bracketed else address, "port": port}


def _address(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"`address` must be text, not `{shown(value)}`")
    try:
        return str(ip_address(value))
    except ValueError:
        if len(value) <= 253 and _HOST_NAME.fullmatch(value):
            return value
    raise ValueError(f"`address`: `{shown(value)}` is neither an IP address nor a host name")


def _port(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 5:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 65_535:
        raise ValueError(f"`port` must be 0 to 65535, not `{shown(value)}`")
    return value


_READERS: Mapping[str, Callable[[object], object]] = {"address": _address, "port": _port}


def textfile_fault(path: str | None) -> str:
    """Return why metrics cannot be written to a path; empty if they can, or if it is None."""
    if path is None:
        return ""
    if is_url(path):
        return f"must be a local file, not `{shown(path)}`"
    if not path.endswith(TEXTFILE_SUFFIX):
        return (
            f"`{shown(path)}` must end with `{TEXTFILE_SUFFIX}`: node_exporter reads no other files"
        )
    return ""
