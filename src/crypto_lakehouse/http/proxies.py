"""Selects the proxy of a request, from the configuration or the environment.

Only the configuration and environment variables are read: no desktop settings, no registry, no
`~/.netrc`. This machine is never reached through a proxy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from urllib.parse import unquote, urlsplit

from attrs import field, frozen
from yarl import URL

from crypto_lakehouse.core.config.proxy_settings import (
    ENVIRONMENT,
    NONE,
    PROXY_PORTS,
    has_scheme,
    masked_proxy,
    proxy_url_fault,
)
from crypto_lakehouse.core.errors import ConfigurationError, ExtraMissing, Problem
from crypto_lakehouse.core.hosts import is_loopback
from crypto_lakehouse.http.no_proxy import NoProxy

__all__ = ["Proxies", "check_proxies"]

#: The variables for each scheme, in order of precedence.
_VARIABLES = {"http": ("http_proxy", "all_proxy"), "https": ("https_proxy", "all_proxy")}


def _shown(url: URL | None) -> str:
    return "None" if url is None else masked_proxy(str(url))


@frozen
class _Proxy:
    """A proxy and where it is set: in a variable or in the configuration."""

    url: URL = field(repr=_shown)
    named_by: str


@frozen
class Proxies:
    """The proxies of a run; no repr or message contains secrets.

    Attributes:
        by_scheme: The proxy for each URL scheme that has one.
        no_proxy: Hosts that are reached directly.
    """

    by_scheme: Mapping[str, _Proxy]
    no_proxy: NoProxy = field(factory=NoProxy)

    @classmethod
    def of(cls, setting: str, environ: Mapping[str, str]) -> Proxies:
        """Create the proxies for a setting.

        Args:
            setting: `environment`, `none`, or the URL of one proxy for every scheme.
            environ: The environment variables of the process.

        Raises:
            ConfigurationError: A variable is not a valid proxy URL; all errors are listed.
        """
        if setting == NONE:
            return cls({})
        variables = dict(environ)  # names are case-sensitive on every system
        no_proxy = NoProxy.of(variables.get("no_proxy", variables.get("NO_PROXY", "")))
        if setting == ENVIRONMENT:
            return cls(_of_environment(variables), no_proxy)
        proxy = _Proxy(_read(setting), "`proxy`")
        return cls(dict.fromkeys(_VARIABLES, proxy), no_proxy)

    def for_url(self, url: URL) -> URL | None:
        """Return the proxy of a request, with its user information and port.

        None if the URL is reached directly: there is no proxy for its scheme, `NO_PROXY` covers
        it, or its host is this machine. Host names are not resolved.
        """
        proxy = self._proxy_of(url)
        return None if proxy is None else proxy.url

    def _proxy_of(self, url: URL) -> _Proxy | None:
        proxy = self.by_scheme.get(url.scheme)
        if proxy is None or is_loopback(url.host or "") or self.no_proxy.covers(url):
            return None
        return proxy

    def describe(self, urls: Iterable[URL]) -> str:
        """Describe the proxy of each origin in one line; empty if all are reached directly.

        Examples:
            >>> proxies = Proxies.of("http://me:pw@proxy.example:3128", {"NO_PROXY": "s3.example"})
            >>> proxies.describe([URL("https://mirror.example/data")])
            'proxy: https://mirror.example via http://***@proxy.example:3128 (`proxy`)'
            >>> proxies.describe([URL("https://s3.example/bucket")])
            ''
        """
        ways: dict[str, list[str]] = {}
        is_used = False
        for origin in dict.fromkeys(url.origin() for url in urls):
            proxy = self._proxy_of(origin)
            is_used |= proxy is not None
            way = f"via {_shown(proxy.url)} ({proxy.named_by})" if proxy else "directly"
            ways.setdefault(way, []).append(str(origin))
        if not is_used:
            return ""
        return "proxy: " + "; ".join(f"{', '.join(each)} {way}" for way, each in ways.items())


def check_proxies(proxies: Proxies, urls: Iterable[URL]) -> None:
    """Refuse unsupported proxies before the first request.

    Raises:
        ExtraMissing: One of the URLs needs a SOCKS proxy, and aiohttp-socks is not installed.
    """
    for url in filter(None, map(proxies.for_url, urls)):
        if url.scheme.startswith("socks") and find_spec("aiohttp_socks") is None:
            needed = f"the proxy {_shown(url)} needs aiohttp-socks and python-socks"
            raise ExtraMissing("socks", needed)


def _of_environment(environ: Mapping[str, str]) -> dict[str, _Proxy]:
    """Return the proxy of each scheme from the variables; overridden variables are not read."""
    found: dict[str, _Proxy] = {}
    problems: dict[str, Problem] = {}
    for scheme, names in _VARIABLES.items():
        for variable in _spellings(names, environ):
            text = environ[variable].strip()
            # Other tools treat a host and a port as an HTTP proxy.
            url = text if has_scheme(text) else f"http://{text}"
            if fault := proxy_url_fault(url):
                problems[variable] = Problem(variable, f"{fault}; or set `proxy: none`")
            else:
                found[scheme] = _Proxy(_read(url), variable)
            break
    if problems:
        raise ConfigurationError(problems.values())
    return found


def _spellings(names: Iterable[str], environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the variables that are set, in order of precedence.

    Lower case takes precedence, even if empty. HTTP_PROXY may come from a client's header in a CGI
    script (CVE-2016-1000110), so it is ignored there.
    """
    for name in names:
        upper = name.upper()
        if name in environ:
            if environ[name]:
                yield name
        elif environ.get(upper) and not (name == "http_proxy" and "REQUEST_METHOD" in environ):
            yield upper


def _read(text: str) -> URL:
    """Convert a validated proxy setting to a URL."""
    scheme, _, rest = text.partition("://")
    user, at, place = rest.rpartition("@")
    parts = urlsplit(f"//{place}")
    name, colon, password = user.partition(":")
    return URL.build(
        scheme=scheme.lower(),
        user=unquote(name) if at else None,
        password=unquote(password) if colon else None,
        host=parts.hostname or "",
        port=parts.port or PROXY_PORTS[scheme.lower()],
    )
