"""The inflater: ISA-L where there is one for the processor, in half the time of zlib; else zlib."""

from __future__ import annotations

import zlib

try:
    from isal import isal_zlib as inflate
except ImportError:  # pragma: no cover - there is no ISA-L for this kind of processor
    inflate = zlib  # type: ignore[misc]

__all__ = ["inflate"]
