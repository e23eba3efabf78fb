"""Mask secrets in everything that is shown: reprs, logs, events, reports, errors."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, unquote, urlsplit

__all__ = ["hide_variables", "redact", "redact_environment"]

_MASK = "***"
_USERINFO = re.compile(r"(?<=://)[^/\s?#]+@")
_PARAMETER = re.compile(
    r"(?<![\w.-])(?P<name>[\w.-]*(?:token|secret|passw(?:or)?d|api[_-]?key"
    r"|access[_-]?key(?:[_-]?id)?|signature|credential|\bsig|\bauth(?:orization)?))"
    r"(?P<equals>=|['\"]?:\s*)"
    r"(?:(?P<quote>['\"])(?:\\.|(?!(?P=quote))[^\\])*"
    r"|(?:(?:Bearer|Basic)\s+)?[^\s&#,;'\"}]+)",
    re.IGNORECASE,
)
#: What follows a scheme's name and does not look like a word: a source may echo a header.
_CREDENTIALS = re.compile(
    r"\b(?P<scheme>(?i:basic|bearer))\s+(?=[\w.~+/-]*[0-9A-Z])[\w.~+/-]{6,}=*"
)

#: Variables whose values are secrets, or name an account.
_SECRET_VARIABLE = re.compile(
    r"access_?key|account_?key|storage_key|sas_|api_?key|service_account_key|secret|token|passw"
    r"|connection_string|credential",
    re.IGNORECASE,
)
#: Variables with the path of a file that has a secret; in an error the path says what to correct.
_PATH_VARIABLE = re.compile(r"GOOGLE_APPLICATION_CREDENTIALS|.*_FILE", re.IGNORECASE)
_PATH = re.compile(r"(?:/[\w.@ -]+){2,}")
_PROXY_VARIABLE = re.compile(r".*_proxy", re.IGNORECASE)

#: Further variables whose values are secrets, whatever they are called.
_HIDDEN: set[str] = set()

#: A shorter value may be part of any word.
_SHORTEST = 4


def redact(text: str) -> str:
    """Return `text` with the secrets in it masked as `***`.

    It masks the user information of every URL, the values of parameters with names of tokens,
    keys, passwords or signatures, and credentials in the form of HTTP headers.

    Examples:
        >>> redact("https://me:pw@mirror.example/data?X-Amz-Signature=abc&part=1")
        'https://***@mirror.example/data?X-Amz-Signature=***&part=1'
    """
    text = _USERINFO.sub(f"{_MASK}@", text)
    text = _PARAMETER.sub(rf"\g<name>\g<equals>\g<quote>{_MASK}", text)
    return _CREDENTIALS.sub(rf"\g<scheme> {_MASK}", text)


def hide_variables(names: Iterable[str]) -> None:
    """Let `redact_environment` mask the values of these variables, too, from now on."""
    _HIDDEN.update(names)


def redact_environment(text: str, environ: Mapping[str, str] | None = None) -> str:
    """Return what `redact` returns, also without the secrets that environment variables hold.

    A server's own text may repeat one, without a name beside it by which it is known.

    Args:
        text: The text.
        environ: The variables; those of the process by default.
    """
    known = os.environ if environ is None else environ
    found = {each for name, value in known.items() for each in _secrets_in(name, value)}
    for secret in sorted(found, key=len, reverse=True):  # one may be in another one
        text = text.replace(secret, _MASK)
    return redact(text)


def _secrets_in(name: str, value: str) -> Iterator[str]:
    """Yield the secrets of a variable, as they are and as they are encoded in a URL."""
    is_path = _PATH_VARIABLE.fullmatch(name) and _PATH.fullmatch(value)
    is_secret = name in _HIDDEN or (_SECRET_VARIABLE.search(name) and not is_path)
    secrets = [value] if is_secret else []
    if _PROXY_VARIABLE.fullmatch(name):
        try:
            secrets.append(unquote(urlsplit(value).password or ""))
        except ValueError:
            secrets.append(value)
    for secret in secrets:
        for form in (secret, quote(secret, safe="")):
            if len(form) >= _SHORTEST:
                yield form
