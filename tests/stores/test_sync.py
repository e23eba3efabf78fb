"""Files that cannot be synced, because their file system has no such operation."""

from __future__ import annotations

import errno
import os

import pytest

from crypto_lakehouse.stores.disk import Disk, fsync


def test_what_cannot_be_synced_is_no_error() -> None:
    reading, writing = os.pipe()  # Linux answers EINVAL, as some file systems do
    try:
        fsync(writing)
        Disk().sync_open(writing)
    finally:
        os.close(reading)
        os.close(writing)


def test_another_error_of_a_sync_is_raised() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    os.close(writing)
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        fsync(writing)
