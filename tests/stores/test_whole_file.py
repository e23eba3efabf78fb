"""A file gets its name once it is whole, and an error leaves what was there."""

from __future__ import annotations

from pathlib import Path

import pytest

from crypto_lakehouse.stores.whole_file import whole_file


def write_half(path: Path, error: BaseException) -> None:
    with whole_file(path) as part:
        part.write_text("half")
        raise error


def test_the_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "result.csv"
    with whole_file(path) as part:
        part.write_text("a,b\n")
        assert part.parent == tmp_path
        assert not path.exists()
    assert path.read_text() == "a,b\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_an_error_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "result.csv"
    path.write_text("before")
    with pytest.raises(type(error)):
        write_half(path, error)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_before_the_first_byte_is_not_hidden(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "none" / "result.csv") as part:
        part.write_text("a")


def test_a_directory_keeps_its_name(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    with pytest.raises(OSError, match="irectory"), whole_file(path) as part:
        part.write_text("a")
    assert list(tmp_path.iterdir()) == [path]
