"""Which hosts are this machine, or in a private network."""

from __future__ import annotations

import re
import unicodedata
from ipaddress import IPv4Address, IPv6Address, ip_address

__all__ = ["is_loopback", "is_plain_host", "kind_of_address"]

#: A name in any script, or an address. For other hosts an HTTP client would raise an error of its
#: own, which quotes the user information.
_HOST = re.compile(r"[^\W.](?:[\w.-]*\w)?\.?|[0-9a-f.]*:[0-9a-f:.]*(?:%\w+)?", re.IGNORECASE)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: `localhost`, `*.localhost`, 127.0.0.0/8 or ::1.

    Only the name counts: a resolver's answer for another name cannot be trusted.

    Examples:
        >>> is_loopback("127.0.0.1"), is_loopback("a.localhost"), is_loopback("localhost.evil")
        (True, True, False)
    """
    name = host.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _address(host)
    if isinstance(address, IPv4Address):
        return address.is_loopback
    return address == IPv6Address("::1")


def kind_of_address(host: str) -> str:
    """Return why an address cannot be a public source; empty if it can be one.

    Examples:
        >>> kind_of_address("10.0.0.1"), kind_of_address("169.254.169.254")
        ('private', 'link-local')
        >>> kind_of_address("mirror.example")
        ''
    """
    if is_loopback(host):
        return "loopback"
    address = _address(host)
    if address is None:
        return ""
    address = getattr(address, "ipv4_mapped", None) or address
    kinds = {
        "loopback": address.is_loopback,
        "link-local": address.is_link_local,
        "private": address.is_private,
    }
    return next((kind for kind, is_kind in kinds.items() if is_kind), "")


def is_plain_host(netloc: str, host: str) -> bool:
    """Whether a host is valid and every parser reads it alike: no `①` for a 1, no invalid xn--.

    Args:
        netloc: The part of a URL that contains the host.
        host: The host as `urlsplit` returns it.
    """
    if not _HOST.fullmatch(host):
        return False
    place = netloc.rpartition("@")[2]
    has_odd_brackets = "]" in place and not place.startswith("[")
    if has_odd_brackets or "\\" in netloc or unicodedata.normalize("NFKC", netloc) != netloc:
        return False
    try:
        host.encode("idna").decode("idna")
    except UnicodeError:
        return False
    return True


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:  # a name
        return None
