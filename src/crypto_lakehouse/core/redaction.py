"""Mask secrets in everything that is shown: reprs, logs, events, reports, errors."""

from __future__ import annotations

import re

__all__ = ["redact"]

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


def redact(text: str) -> str:
    """Return `text` with the secrets in it masked as `***`.

    It masks the user information of every URL, the values of parameters with names of tokens,
    keys, passwords or signatures, and credentials in the form of HTTP headers.

    Example:
        >>> redact("https://me:pw@mirror.example/data?X-Amz-Signature=abc&part=1")
        'https://***@mirror.example/data?X-Amz-Signature=***&part=1'
    """
    text = _USERINFO.sub(f"{_MASK}@", text)
    text = _PARAMETER.sub(rf"\g<name>\g<equals>\g<quote>{_MASK}", text)
    return _CREDENTIALS.sub(rf"\g<scheme> {_MASK}", text)
