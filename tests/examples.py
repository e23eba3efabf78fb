"""How many examples a property test tries.

`make test` tries a quarter of them, always the same ones, so that neither its outcome nor its
coverage depends on chance. `make soak` tries all, other ones each time.
"""

from __future__ import annotations

import os

__all__ = ["IS_THOROUGH", "examples"]

IS_THOROUGH = bool(os.environ.get("THOROUGH"))


def examples(count: int) -> int:
    """The number of examples to try, of as many as a thorough run tries."""
    return count if IS_THOROUGH else max(count // 4, 5)
