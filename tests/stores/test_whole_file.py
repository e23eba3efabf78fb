"""A file gets its name once it is whole, and an error leaves what was there."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from crypto_lakehouse.stores.whole_file import replaces_file, whole_file


def write(path: Path, data: bytes = b"whole") -> None:
    with whole_file(path) as file:
        file.write(data)


def write_half(path: Path, error: BaseException) -> None:
    with whole_file(path) as file:
        file.write(b"half")
        raise error


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "result.csv"
    with whole_file(path) as file:
        file.write(b"a,b\n")
        (part,) = tmp_path.iterdir()
        assert part.name.startswith(".crypto-lakehouse-")
    assert path.read_bytes() == b"a,b\n"
    assert names(tmp_path) == ["result.csv"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt(), SystemExit(143)])
def test_an_error_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "result.csv"
    path.write_text("before")
    with pytest.raises(type(error)):
        write_half(path, error)
    assert path.read_text() == "before"
    assert names(tmp_path) == ["result.csv"]


def test_two_that_write_one_name_at_once_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "result.csv"
    with whole_file(path) as first, whole_file(path) as second:
        for line in (b"1\n", b"2\n", b"3\n"):
            first.write(b"first " + line)
            second.write(b"second " + line)
    assert path.read_bytes() == b"first 1\nfirst 2\nfirst 3\n"  # it was closed last
    assert names(tmp_path) == ["result.csv"]


def test_many_threads_write_one_name(tmp_path: Path) -> None:
    path = tmp_path / "result"
    whole = [bytes([number]) * 100_000 for number in range(16)]
    threads = [threading.Thread(target=write, args=(path, data)) for data in whole]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in whole
    assert names(tmp_path) == ["result"]


def test_a_link_stays_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    target, link = tmp_path / "other" / "file", tmp_path / "link"
    link.symlink_to(Path("other") / "file")
    for text in (b"first", b"second"):  # at first there is no such file
        write(link, text)
        assert link.is_symlink()
        assert target.read_bytes() == text
    assert (names(tmp_path), names(target.parent)) == (["link", "other"], ["file"])


def test_a_file_keeps_its_mode_and_a_new_one_has_the_usual(tmp_path: Path) -> None:
    secret, usual, new = tmp_path / "secret", tmp_path / "usual", tmp_path / "new"
    for path, mode in ((secret, 0o600), (usual, 0o664)):
        path.touch()
        path.chmod(mode)
        write(path)
        assert stat.S_IMODE(path.stat().st_mode) == mode
    before = os.umask(0o027)
    try:
        write(new)
    finally:
        os.umask(before)
    assert stat.S_IMODE(new.stat().st_mode) == 0o640


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (".", "it is a directory; name a file"),
        ("folder", "it is a directory; name a file"),
        ("folder/", "it is a directory; name a file"),
        ("/", "it is a directory; name a file"),
        ("", "it is a directory; name a file"),
        ("none/result.csv", "its directory does not exist"),
        ("file/result.csv", "Not a directory"),
        ("n" * 256, "File name too long"),
        ("a\x00b", "null"),
        ("circle", "Too many levels of symbolic links"),
    ],
)
def test_a_place_that_takes_no_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("file").touch()
    Path("circle").symlink_to("circle")
    with pytest.raises(OSError) as refused:  # noqa: PT011 - the text is asserted below
        write(Path(name))
    assert reason in str(refused.value.strerror)
    assert names(tmp_path) == ["circle", "file", "folder"]


@pytest.mark.parametrize("length", [252, 255])
def test_a_long_name_is_taken(tmp_path: Path, length: int) -> None:
    write(tmp_path / ("n" * length))
    assert names(tmp_path) == ["n" * length]


def test_a_folder_that_cannot_be_listed_is_written_to(tmp_path: Path) -> None:
    tmp_path.chmod(0o300)
    try:
        write(tmp_path / "result")
    finally:
        tmp_path.chmod(0o700)
    assert names(tmp_path) == ["result"]


def test_a_pipe_is_written_through(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE)
    write(pipe)
    assert reader.communicate()[0] == b"whole"
    assert pipe.is_fifo()
    assert not replaces_file(pipe)


def test_a_device_stays_a_device(tmp_path: Path) -> None:
    write(Path(os.devnull))
    link = tmp_path / "nothing"
    link.symlink_to(os.devnull)
    write(link)
    assert Path(os.devnull).is_char_device()
    assert link.is_symlink()
    assert not replaces_file(link)


TO_STDOUT = """
import sys
from pathlib import Path
from crypto_lakehouse.stores.whole_file import replaces_file, whole_file
for name in sys.argv[1:]:
    with whole_file(Path(name)) as file:
        file.write(b"rows\\n")
    assert not replaces_file(Path(name))
"""


def test_standard_output_is_written_to_whatever_it_is(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/stdout")
    ways = ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", str(tmp_path / "link")]
    command = [sys.executable, "-c", TO_STDOUT, *ways]
    assert subprocess.check_output(command) == b"rows\n" * 4
    (tmp_path / "log").write_text("before\n")
    with (tmp_path / "log").open("ab") as log:
        subprocess.run(command, stdout=log, check=True)
    assert (tmp_path / "log").read_text() == "before\n" + "rows\n" * 4
    assert names(tmp_path) == ["link", "log"]


KILLED = """
import os, signal, sys
from pathlib import Path
from crypto_lakehouse.stores.whole_file import whole_file
with whole_file(Path(sys.argv[1])) as file:
    file.write(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_goes_with_the_next_file(tmp_path: Path) -> None:
    path = tmp_path / "result"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = names(tmp_path)
    assert left.startswith(".crypto-lakehouse-")
    (tmp_path / ".crypto-lakehouse-0123456789abcdef.part").symlink_to(tmp_path / "precious")
    (tmp_path / ".crypto-lakehouse-0123456789abcdea.part").mkdir()
    (tmp_path / ".crypto-lakehouse-of-a-user.part").touch()
    (tmp_path / "precious").touch()
    with whole_file(tmp_path / "other") as file:  # it is being written, and so not stale
        file.write(b"other")
        write(path)
    assert names(tmp_path) == [
        ".crypto-lakehouse-0123456789abcdea.part",
        ".crypto-lakehouse-0123456789abcdef.part",
        ".crypto-lakehouse-of-a-user.part",
        "other",
        "precious",
        "result",
    ]


def test_a_new_file_that_another_process_is_about_to_remove_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open
    taken: list[tuple[Path, int]] = []

    def open_and_take(path: Path, flags: int, mode: int = 0o777) -> int:
        descriptor = opened(path, flags, mode)
        if flags & os.O_EXCL and not taken:
            other = opened(path, os.O_RDONLY)
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            taken.append((path, other))
        return descriptor

    monkeypatch.setattr(os, "open", open_and_take)
    with whole_file(tmp_path / "result") as file:
        path, other = taken[0]
        Path(path).unlink()
        os.close(other)
        file.write(b"whole")
    assert (tmp_path / "result").read_bytes() == b"whole"


def test_a_name_that_is_too_long_replaces_nothing(tmp_path: Path) -> None:
    assert not replaces_file(tmp_path / ("a" * 300))
    with pytest.raises(OSError, match="name too long"), whole_file(tmp_path / ("a" * 300)):
        pass
