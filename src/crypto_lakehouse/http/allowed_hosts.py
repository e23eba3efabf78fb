"""The hosts that a run may contact: its sources, and those that the configuration names."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen
from yarl import URL

from crypto_lakehouse.core.hosts import is_loopback, kind_of_address

__all__ = ["AllowedHosts"]


@frozen
class AllowedHosts:
    """The hosts that a run may contact: its sources, and those that the configuration names.

    Attributes:
        source: The source's base URL.
        named: Further hosts, as `host` or `host:port`.
        second: The base URL of another source; each source only receives its own user information.
        allow_http: Whether redirects may lead to other machines without TLS.
    """

    source: URL
    named: frozenset[str]
    second: URL | None = None
    allow_http: bool = False

    @classmethod
    def of(
        cls,
        source_url: str,
        others: Iterable[str],
        second_url: str | None = None,
        *,
        allow_http: bool = False,
    ) -> AllowedHosts:
        """Create the allowed hosts from a configuration."""
        named = frozenset(host.lower() for host in others)
        return cls(URL(source_url), named, URL(second_url) if second_url else None, allow_http)

    @property
    def has_users(self) -> bool:
        """Whether any source URL contains user information."""
        return any(url is not None and url.user is not None for url in (self.source, self.second))

    def source_of(self, url: URL) -> URL | None:
        """Return the source that a URL belongs to; None for other hosts."""
        for source in (self.source, self.second):
            if source is not None and url.origin() == source.origin():
                return source
        return None

    def refusal(self, url: URL, target: URL) -> str:
        """Return why a redirect from `url` to `target` is refused, and what to do about it.

        Empty if the redirect is followed: its host is a source or a named host, and it uses TLS,
        or the configuration allows plain http, or it leads from plain http to this machine.
        """
        host = target.host or ""
        if target.scheme not in {"http", "https"} or not host:
            return "only http and https are supported; ask the owner of the source"
        if not self._is_named(target):
            kind = kind_of_address(host)
            what = f"that {kind} address" if kind else "that host"
            return (
                f"the configuration does not name {what}; add it to `redirect_hosts` if you "
                "trust it"
            )
        if target.scheme == "https" or self.allow_http:
            return ""
        if url.scheme == "https":
            return "it gives up TLS; set `allow_http: true` if you trust every network in between"
        if not is_loopback(host):
            return "it is without TLS; set `allow_http: true` if you trust every network in between"
        return ""

    def _is_named(self, target: URL) -> bool:
        if self.source_of(target) is not None:
            return True
        spellings = {target.host, target.authority.lower(), target.host_port_subcomponent}
        return bool(self.named & spellings)
