"""Evidence of what stored and fetched bytes are worth."""

from __future__ import annotations

import hashlib
import random
from io import BytesIO

import pytest

from crypto_lakehouse.collection.verdicts.inspect_download import md5_of
from crypto_lakehouse.zips.check import INLINE_BYTES


@pytest.mark.parametrize("size_bytes", [0, 1, INLINE_BYTES, INLINE_BYTES + 1])
async def test_the_md5_is_the_same_in_the_loop_and_in_a_thread(size_bytes: int) -> None:
    data = random.Random(7).randbytes(size_bytes)
    expected = hashlib.md5(data, usedforsecurity=False).hexdigest()
    assert await md5_of(lambda: BytesIO(data), size_bytes) == expected
