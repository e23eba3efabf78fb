"""Parse a published checksum file."""

from __future__ import annotations

import re

from crypto_lakehouse.core.errors import SidecarMalformed

__all__ = ["SIDECAR_LIMIT_BYTES", "parse_sidecar"]

#: Published sidecars are 91 to 112 bytes (docs/archive.md#file-sizes); longer ones are not read to
#: the end.
SIDECAR_LIMIT_BYTES = 4096

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
        raise SidecarMalformed(key, "it is not text") from None
    lines = text.split("\n")
    words = lines[0].split()
    if not words:
        raise SidecarMalformed(key, "it is empty")
    if any(line.strip() for line in lines[1:]):
        raise SidecarMalformed(key, "it has more than one line")
    if _DIGEST.fullmatch(words[0]) is None:
        raise SidecarMalformed(key, "it does not begin with a SHA-256 digest")
    return words[0].lower()
