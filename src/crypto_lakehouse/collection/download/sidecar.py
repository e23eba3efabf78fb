"""Parse a published checksum file."""

from __future__ import annotations

import codecs
import re

from crypto_lakehouse.core.errors import SidecarMalformed

__all__ = ["SIDECAR_LIMIT_BYTES", "parse_sidecar"]

#: Published sidecars are 91 to 112 bytes (docs/archive.md#file-sizes); longer ones are not read to
#: the end.
SIDECAR_LIMIT_BYTES = 4096

_GZIP = b"\x1f\x8b"
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

_DIGEST = re.compile(r"[0-9a-fA-F]{64}")


def parse_sidecar(data: bytes, key: str) -> str:
    """Return the SHA-256 that a sidecar names, as 64 lower-case hex characters.

    The digest is the first word. What follows it is ignored: the line end differs by market,
    and the name token is only a hint (docs/archive.md#sidecars).

    Args:
        data: The sidecar, or its first `SIDECAR_LIMIT_BYTES + 1` bytes.
        key: The sidecar's key, for errors.

    Raises:
        SidecarMalformed: Too long, more than one line, or no digest in it.
    """
    if len(data) > SIDECAR_LIMIT_BYTES:
        raise SidecarMalformed(key, f"longer than {SIDECAR_LIMIT_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SidecarMalformed(key, _other_than_text(data)) from None
    lines = text.split("\n")
    words = lines[0].split()
    if not words:
        raise SidecarMalformed(key, "it is empty")
    if words[0].startswith("<"):
        raise SidecarMalformed(key, "it is a page in HTML or XML")
    if any(line.strip() for line in lines[1:]):
        raise SidecarMalformed(key, "it has more than one line")
    if _DIGEST.fullmatch(words[0]) is None:
        raise SidecarMalformed(key, "it does not begin with a SHA-256 digest")
    return words[0].lower()


def _other_than_text(data: bytes) -> str:
    """Say what the bytes are that are not UTF-8."""
    if data.startswith(_GZIP):
        return "it is compressed with gzip"
    if data.startswith(_UTF_16):
        return "it is not text in UTF-8, but in UTF-16"
    return "it is not text"
