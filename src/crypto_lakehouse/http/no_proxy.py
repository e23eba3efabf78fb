"""`NO_PROXY`: hosts that are reached without a proxy.

The standard library's `proxy_bypass_environment` supports names and suffixes, but neither networks
nor the brackets of IPv6, and it treats the end of an address as a suffix.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from attrs import frozen
from yarl import URL

__all__ = ["NoProxy"]


@frozen
class NoProxy:
    """Hosts that no proxy is used for.

    Attributes:
        everything: Whether `*` excludes every host.
        names: Hosts and domains without a leading or trailing dot, each with its port, or None
            for any port.
        networks: Addresses and networks, with their ports.
    """

    everything: bool = False
    names: tuple[tuple[str, int | None], ...] = ()
    networks: tuple[tuple[IPv4Network | IPv6Network, int | None], ...] = ()

    @classmethod
    def of(cls, text: str) -> NoProxy:
        """Parse a list separated by commas or spaces; an invalid entry matches nothing.

        Examples:
            >>> no_proxy = NoProxy.of("mirror.example:8080, .internal, 10.0.0.0/8, [::1]")
            >>> no_proxy.covers(URL("https://a.internal/x")), no_proxy.covers(URL("http://10.1.1.1"))
            (True, True)
            >>> no_proxy.covers(URL("https://mirror.example"))
            False
        """
        entries = text.replace(",", " ").lower().split()
        names = []
        networks = []
        for entry in entries:
            place, port = _place_and_port(entry)
            network = _network(place)
            if network is not None:
                networks.append((network, port))
            elif name := place.removeprefix("*.").strip("."):
                names.append((name, port))
        return cls("*" in entries, tuple(names), tuple(networks))

    def covers(self, url: URL) -> bool:
        """Whether the host of a URL is reached directly; host names are never resolved for this."""
        if self.everything:
            return True
        host = (url.host or "").rstrip(".").lower()
        network = _network(host)
        if network is not None:
            return any(
                network.network_address in block and port in {None, url.port}
                for block, port in self.networks
            )
        spellings = (host, (url.raw_host or "").rstrip("."))
        return any(
            port in {None, url.port} and _is_within(spellings, name) for name, port in self.names
        )


def _is_within(spellings: tuple[str, ...], name: str) -> bool:
    """Whether a host is the named host or a subdomain of it."""
    return any(host == name or host.endswith(f".{name}") for host in spellings)


def _place_and_port(entry: str) -> tuple[str, int | None]:
    """Split an entry into host and port; an IPv6 address with a port must be in brackets."""
    place, colon, port = entry.rpartition(":")
    is_bare_ipv6 = ":" in place and not place.endswith("]")
    if colon and port.isascii() and port.isdigit() and not is_bare_ipv6:
        return place.strip("[]"), int(port)
    return entry.strip("[]"), None


def _network(place: str) -> IPv4Network | IPv6Network | None:
    """Return an address or a network; None for a name."""
    try:
        return ip_network(place if "/" in place else ip_address(place), strict=False)
    except ValueError:
        return None
