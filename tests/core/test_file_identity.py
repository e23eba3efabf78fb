"""A file that is written to or replaced is another version; a missing one has none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from crypto_lakehouse.core.file_identity import has_content, identity_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"12")
    return path


def test_a_path_and_an_open_file_have_one_identity(path: Path) -> None:
    identity = identity_of(str(path))
    assert identity is not None
    assert identity.stat == (2, path.stat().st_mtime_ns)
    with path.open("rb") as file:
        assert identity_of(file.fileno()) == identity


def test_a_file_that_is_written_to_or_replaced_has_another_identity(path: Path) -> None:
    seen = {identity_of(str(path))}
    path.write_bytes(b"123")
    seen.add(identity_of(str(path)))
    copy = path.with_name("copy")
    copy.write_bytes(b"123")
    os.utime(copy, ns=(0, path.stat().st_mtime_ns))
    copy.replace(path)
    seen.add(identity_of(str(path)))
    os.utime(path, ns=(0, 1))
    seen.add(identity_of(str(path)))
    assert len(seen) == 4
    assert None not in seen


def test_only_a_file_with_bytes_has_content(path: Path) -> None:
    assert has_content(str(path))
    path.write_bytes(b"")
    assert not has_content(str(path))
    path.unlink()
    assert not has_content(str(path))
    assert identity_of(str(path)) is None
