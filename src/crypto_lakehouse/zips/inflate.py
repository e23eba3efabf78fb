"""The inflater: ISA-L, which takes half the time of zlib, or zlib on other processors."""

from __future__ import annotations

import zlib

try:
    from isal import isal_zlib as inflate
except ImportError:  # pragma: no cover - ISA-L does not support this processor
    inflate = zlib  # type: ignore[misc]

__all__ = ["inflate", "is_bomb"]

#: Published archives unpack to 3 to 60 times their size; deflate allows 1,032 times.
_BOMB_RATIO = 250

#: Smaller content is harmless at any ratio.
_HARMLESS_BYTES = 16 << 20


def is_bomb(packed_bytes: int, size_bytes: int) -> bool:
    """Whether the ratio of sizes is so large that the zip must be a decompression bomb."""
    return size_bytes > max(_HARMLESS_BYTES, _BOMB_RATIO * packed_bytes)
