"""How a proxy is written, in the configuration and in environment variables.

A proxy's URL has a scheme, perhaps user information, a host and perhaps a port, and nothing after
them. So everything before its last `@` is user information, however it is written, and is masked.
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

#: Settings that are words: the proxies of the environment, and no proxy at all.
ENVIRONMENT, NONE = "environment", "none"

#: The schemes of proxies, and the port of each where a URL names none.
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

#: An encoded `@`, or something behind a colon that is no port: it may be a password.
_MAY_HOLD_A_USER = re.compile(r"%40|^[^\[\]:]*:(?!\d*(?:[/?#]|$))", re.IGNORECASE)

_FORM = "write it as http://proxy.example:3128"


def proxy_fault(setting: str) -> str:
    """Say why a text is no value of `proxy`; empty where it is one.

    Example:
        >>> proxy_fault("none"), proxy_fault("socks5h://me:pw@proxy.example:1080")
        ('', '')
        >>> proxy_fault("enviroment")
        '`enviroment` is no proxy; allowed: environment, none, a URL; did you mean `environment`?'
    """
    if setting in {ENVIRONMENT, NONE}:
        return ""
    if has_scheme(setting):
        return proxy_url_fault(setting)
    masked = masked_proxy(setting)
    if re.search(r"[@:.]", setting):  # as other tools take it; a scheme is one word more
        return f"`{masked}` has no scheme; {_FORM}"
    hint = allowed_values(masked, (ENVIRONMENT, NONE, "a URL"))
    return f"`{masked}` is no proxy; {hint}"


def has_scheme(text: str) -> bool:
    """Whether a text begins with a scheme; a user's name and password before a host are none.

    Example:
        >>> has_scheme("socks5://h"), has_scheme("h:3128"), has_scheme("me:p://w@h:3128")
        (True, False, False)
    """
    return _SCHEME.match(text) is not None


def proxy_url_fault(url: str) -> str:
    """Say why a URL is none of a proxy; empty where it is one."""
    masked = masked_proxy(url)
    scheme, _, rest = url.partition("://")
    user, _, place = rest.rpartition("@")
    if scheme.lower() not in PROXY_PORTS:
        hint = allowed_values(scheme, PROXY_PORTS)
        return f"`{masked}` has a scheme that is none of a proxy; {hint}"
    if any(character.isspace() or not character.isprintable() for character in url):
        return f"`{masked}` must hold no spaces and no control characters; {_FORM}"
    if re.search(r"[/?#]", user):
        return (
            f"`{masked}` must have its user name and password percent-encoded, as %2F for a slash, "
            "%3F for a question mark and %23 for a hash"
        )
    if scheme.lower().startswith("socks") and not _fits_socks(user):
        return (
            f"`{masked}` has a user name or a password that SOCKS cannot send: it takes 255 "
            "characters of ASCII for each, and no control characters"
        )
    return _place_fault(place.removesuffix("/"), masked)


def _fits_socks(user: str) -> bool:
    """Whether a SOCKS proxy can be sent this user information (RFC 1929, section 2)."""
    name, _, password = user.partition(":")
    return all(
        text.isascii() and text.isprintable() and len(text) <= _LONGEST_SOCKS_TEXT
        for text in (unquote(name), unquote(password))
    )


def _place_fault(place: str, masked: str) -> str:
    """Say why a text is no host with a port or without."""
    if re.search(r"[/?#]", place):
        return f"`{masked}` must end after host and port, without a path or a query; {_FORM}"
    try:
        parts = urlsplit(f"//{place}")
        host, port = parts.hostname or "", parts.port
    except ValueError:  # its text quotes what stands there
        host, port = "", None
    if not host or not is_plain_host(place, host):
        return f"`{masked}` names no host that can be one, or no port that can be one; {_FORM}"
    if port == 0:
        return f"`{masked}` has port 0, which no proxy has; {_FORM}"
    return ""


def masked_proxy(text: str) -> str:
    """Quote a proxy without its user information, whether it is written well or not.

    Example:
        >>> masked_proxy("me:p/w@proxy.example:3128"), masked_proxy("http://me:p@w@h")
        ('***@proxy.example:3128', 'http://***@h')
    """
    match = _SCHEME.match(text)
    scheme = match[0] if match else ""
    user, _, place = text[len(scheme) :].rpartition("@")
    if not user and _MAY_HOLD_A_USER.search(place):
        return shown(f"{scheme}***")
    return shown(f"{scheme}{'***@' if user else ''}{place}")
