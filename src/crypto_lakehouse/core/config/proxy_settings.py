"""Checks and masks proxy settings of the configuration and of environment variables.

The URL of a proxy has a scheme, optional user information, a host and an optional port, and nothing
after them. Everything before its last `@` is therefore treated as user information and masked, even
if it is not well-formed.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from crypto_lakehouse.core.hosts import is_plain_host
from crypto_lakehouse.core.messages import allowed_values, shown

__all__ = [
    "ENVIRONMENT",
    "NONE",
    "PROXY_PORTS",
    "has_scheme",
    "masked_proxy",
    "proxy_fault",
    "proxy_url_fault",
]

#: Settings other than a URL: the proxies of the environment, and no proxy.
ENVIRONMENT, NONE = "environment", "none"

#: The schemes of proxies, and the default port of each.
PROXY_PORTS = {
    "http": 80,
    "https": 443,
    "socks5": 1080,
    "socks5h": 1080,
    "socks4": 1080,
    "socks4a": 1080,
}

_LONGEST_SOCKS_TEXT = 255

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)

#: An encoded `@`, or a colon without a port after it: there may be a password.
_MAY_HOLD_A_USER = re.compile(r"%40|^[^\[\]:]*:(?!\d*(?:[/?#]|$))", re.IGNORECASE)

_FORM = "write it as http://proxy.example:3128"


def proxy_fault(setting: str) -> str:
    """Return why a text is not a valid value of `proxy`; empty if it is valid.

    Examples:
        >>> proxy_fault("none"), proxy_fault("socks5h://me:pw@proxy.example:1080")
        ('', '')
        >>> proxy_fault("none!")
        '`none!` is not a proxy; allowed: environment, none, a URL; did you mean `none`?'
    """
    if setting in {ENVIRONMENT, NONE}:
        return ""
    if has_scheme(setting):
        return proxy_url_fault(setting)
    masked = masked_proxy(setting)
    if re.search(r"[@:.]", setting):  # other tools accept it without a scheme; here it is required
        return f"`{masked}` has no scheme; {_FORM}"
    hint = allowed_values(masked, (ENVIRONMENT, NONE, "a URL"))
    return f"`{masked}` is not a proxy; {hint}"


def has_scheme(text: str) -> bool:
    """Whether a text starts with a scheme; a user name and a password before a host do not count.

    Examples:
        >>> has_scheme("socks5://h"), has_scheme("h:3128"), has_scheme("me:p://w@h:3128")
        (True, False, False)
    """
    return _SCHEME.match(text) is not None


def proxy_url_fault(url: str) -> str:
    """Return why a URL is not valid for a proxy; empty if it is."""
    masked = masked_proxy(url)
    scheme, _, rest = url.partition("://")
    user, _, place = rest.rpartition("@")
    if scheme.lower() not in PROXY_PORTS:
        hint = allowed_values(scheme, PROXY_PORTS)
        return f"`{masked}` has a scheme that proxies do not have; {hint}"
    if any(character.isspace() or not character.isprintable() for character in url):
        return f"`{masked}` must not contain spaces or control characters; {_FORM}"
    if re.search(r"[/?#]", user):
        return (
            f"`{masked}` must have its user name and password percent-encoded: %2F for a slash, "
            "%3F for a question mark and %23 for a hash"
        )
    if scheme.lower().startswith("socks") and not _fits_socks(user):
        return (
            f"`{masked}` has a user name or a password that SOCKS cannot send; each must be at "
            "most 255 ASCII characters, without control characters"
        )
    return _place_fault(place.removesuffix("/"), masked)


def _fits_socks(user: str) -> bool:
    """Whether SOCKS can transmit this user information (RFC 1929, section 2)."""
    name, _, password = user.partition(":")
    return all(
        text.isascii() and text.isprintable() and len(text) <= _LONGEST_SOCKS_TEXT
        for text in (unquote(name), unquote(password))
    )


def _place_fault(place: str, masked: str) -> str:
    """Return why a text is not a host with an optional port; empty if it is one."""
    if re.search(r"[/?#]", place):
        return f"`{masked}` must end after host and port, without a path or a query; {_FORM}"
    try:
        parts = urlsplit(f"//{place}")
        host, port = parts.hostname or "", parts.port
    except ValueError:  # the text of the error quotes the input
        host, port = "", None
    if not host or not is_plain_host(place, host):
        return f"`{masked}` has a host or a port that is not valid; {_FORM}"
    if port == 0:
        return f"`{masked}` has port 0, which is not valid for a proxy; {_FORM}"
    return ""


def masked_proxy(text: str) -> str:
    """Quote a proxy with its user information masked, even if the proxy is not well-formed.

    Examples:
        >>> masked_proxy("me:p/w@proxy.example:3128"), masked_proxy("http://me:p@w@h")
        ('***@proxy.example:3128', 'http://***@h')
    """
    match = _SCHEME.match(text)
    scheme = match[0] if match else ""
    user, _, place = text[len(scheme) :].rpartition("@")
    if not user and _MAY_HOLD_A_USER.search(place):
        return shown(f"{scheme}***")
    return shown(f"{scheme}{'***@' if user else ''}{place}")
