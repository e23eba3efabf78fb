"""The inflater: ISA-L where there is one for the processor, in half the time of zlib; else zlib."""

from __future__ import annotations

import zlib

try:
    from isal import isal_zlib as inflate
except ImportError:  # pragma: no cover - there is no ISA-L for this kind of processor
    inflate = zlib  # type: ignore[misc]

__all__ = ["inflate", "is_bomb"]

#: Published archives unpack to 3 to 60 times their size; deflate can do 1,032.
_BOMB_RATIO = 250

#: What unpacks to less harms nobody, whatever it is packed to.
_HARMLESS_BYTES = 16 << 20


def is_bomb(packed_bytes: int, size_bytes: int) -> bool:
    """Whether so few bytes unpack to so many that they were made to fill somebody's disk."""
    return size_bytes > max(_HARMLESS_BYTES, _BOMB_RATIO * packed_bytes)
