"""How a run's requests leave this machine: the proxies, and the certificates that are trusted."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

from attrs import frozen
from yarl import URL

from crypto_lakehouse.core.config.origins import naming_origins
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.http.proxies import Proxies, check_proxies
from crypto_lakehouse.http.tls import tls_context

__all__ = ["Network"]


@frozen(kw_only=True)
class Network:
    """The way to the hosts of a configuration, known to be usable before the first request.

    Attributes:
        proxies: The proxy of each URL.
        tls: The TLS settings; None if no configured host uses TLS.
        note: One sentence on the proxies that are used, without secrets; empty if none is.
    """

    proxies: Proxies
    tls: ssl.SSLContext | None
    note: str

    @classmethod
    def of(
        cls,
        config: WorkflowConfig,
        environ: Mapping[str, str] | None = None,
        urls: Iterable[str] | None = None,
    ) -> Network:
        """Read a configuration's `proxy` and `ca_bundle`, and the variables that they refer to.

        Args:
            config: Names the hosts.
            environ: Environment variables; the process's own by default, `{}` for none.
            urls: What is asked; the sources of archives by default.

        Raises:
            ConfigurationError: A proxy or a file of certificates cannot be used.
            ExtraMissing: A SOCKS proxy is used, and the extra `socks` is not installed.
        """
        with naming_origins(config):
            asked = _asked(config) if urls is None else map(URL, urls)
            return cls._of(config, os.environ if environ is None else environ, list(asked))

    @classmethod
    def _of(cls, config: WorkflowConfig, variables: Mapping[str, str], urls: list[URL]) -> Network:
        proxies = Proxies.of(config.proxy, variables)
        check_proxies(proxies, urls)
        hops = [*urls, *filter(None, map(proxies.for_url, urls))]
        has_tls = any(url.scheme == "https" for url in hops)
        return cls(
            proxies=proxies,
            tls=tls_context(config.ca_bundle, variables) if has_tls else None,
            note=proxies.describe(urls),
        )


def _asked(config: WorkflowConfig) -> Iterator[URL]:
    """Every origin that requests may go to, redirects included."""
    for text in (config.source_url, config.second_source_url, config.listing_url):
        if text:
            yield URL(text)
    for host in config.redirect_hosts:
        with suppress(ValueError):  # no redirect can lead there
            yield URL(f"https://{host}")
