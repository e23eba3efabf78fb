"""Places that cannot be written: of another user, or on a file system mounted read-only."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import crypto_lakehouse

__all__ = ["SOMEBODY", "as_somebody", "give", "mounted_read_only"]

#: A user who owns nothing.
SOMEBODY = 65534


@contextmanager
def as_somebody() -> Iterator[None]:
    """Make this process that of somebody else, who cannot override permissions."""
    _need_root()
    if not all(each.stat().st_mode & 0o001 for each in Path(crypto_lakehouse.__file__).parents):
        pytest.skip("no other user can read the package: a directory above it is private")
    os.seteuid(SOMEBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def mounted_read_only(folder: Path) -> Iterator[None]:
    """Mount a folder as a file system that cannot be written."""
    _need_root()
    bound = subprocess.run(["mount", "--bind", folder, folder], capture_output=True, check=False)
    if bound.returncode:
        pytest.skip(f"no folder can be mounted here: {bound.stderr.decode().strip()}")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def give(path: Path, user: int) -> None:
    """Give a tree to a user."""
    _need_root()
    for each in (path, *path.rglob("*")):
        os.chown(each, user, user)


def _need_root() -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root can mount, become somebody else and give files away")
