"""Large blocks return to the system, if the allocator can be told to do so."""

from __future__ import annotations

import ctypes
import platform

import pytest

from crypto_lakehouse.stores.objects.memory import return_large_blocks


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_glibc_takes_the_setting() -> None:
    return_large_blocks.cache_clear()
    assert return_large_blocks()


def test_another_allocator_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    return_large_blocks.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert not return_large_blocks()
    return_large_blocks.cache_clear()
