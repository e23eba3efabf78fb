"""What `NO_PROXY` says: hosts that are asked directly, whatever proxy there is.

The standard library's `proxy_bypass_environment` knows names and suffixes, and neither networks
nor the brackets of IPv6; and it takes the end of an address for a suffix.
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
        everything: Whether that is every host, as `*` says.
        names: Names of hosts and domains without a dot at either end, each with its port, or None
            for any port.
        networks: Addresses and blocks of addresses, likewise.
    """

    everything: bool = False
    names: tuple[tuple[str, int | None], ...] = ()
    networks: tuple[tuple[IPv4Network | IPv6Network, int | None], ...] = ()

    @classmethod
    def of(cls, text: str) -> NoProxy:
        """Read a list that is separated by commas or spaces; what cannot be read matches nothing.

        Example:
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
        """Whether a URL's host is asked directly; a name is never looked up to find that out."""
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
    """Whether a host has a name, or lies in the domain of that name."""
    return any(host == name or host.endswith(f".{name}") for host in spellings)


def _place_and_port(entry: str) -> tuple[str, int | None]:
    """Part an entry from its port; an IPv6 address has one only behind its brackets."""
    place, colon, port = entry.rpartition(":")
    is_bare_ipv6 = ":" in place and not place.endswith("]")
    if colon and port.isascii() and port.isdigit() and not is_bare_ipv6:
        return place.strip("[]"), int(port)
    return entry.strip("[]"), None


def _network(place: str) -> IPv4Network | IPv6Network | None:
    """An address or a block of addresses; None where it is a name."""
    try:
        return ip_network(place if "/" in place else ip_address(place), strict=False)
    except ValueError:
        return None
