"""Write files for a reader, such as results and charts, that are complete or absent."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from attrs import define

if sys.platform != "win32":
    import fcntl

__all__ = ["PartFile", "part_file", "remove_stale_parts", "replaces_file", "whole_file"]

_NAME = ".crypto-lakehouse-{}.part"
_TEMPORARY = re.compile(r"\.crypto-lakehouse-[0-9a-f]{16}\.part")

_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

#: Folders of this process's open files; `/dev/stdout` is a link into one of them.
_DESCRIPTORS = frozenset({"/dev/fd", "/proc/self/fd"})

_MOST_LINKS = 40


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that gets its name once it is complete.

    The bytes are written to `.crypto-lakehouse-<random>.part` beside it, which is renamed at the
    end. After an error, Ctrl-C or SIGTERM that file is removed, and an earlier file at `path` is
    unchanged. What a killed process leaves is removed by the next call for the same folder. The
    file is not synced: after a power loss it may be absent or empty.

    A symbolic link stays, and the file that it names is replaced. Devices and pipes, `/dev/stdout`
    among them, are written to as they are.

    Args:
        path: The final path; its directory must exist.

    Yields:
        The open file, for bytes.

    Raises:
        OSError: The file cannot be created, written or renamed.
    """
    stream = _stream(path)
    if stream is not None:
        with os.fdopen(stream, "wb") as file:
            yield file
        return
    target = _target(path)
    remove_stale_parts(target.parent)
    with part_file(target) as part:
        yield part.file
        part.commit()


@define(eq=False)
class PartFile:
    """A file under a temporary name beside its final one.

    Attributes:
        path: The temporary name.
        target: The final name.
        file: The open file, for bytes.
    """

    path: Path
    target: Path
    file: BinaryIO

    def commit(self) -> None:
        """Close the file and rename it; a file or link at the final name is replaced.

        Raises:
            OSError: It cannot be written or renamed.
        """
        self.file.close()
        self.path.replace(self.target)


@contextmanager
def part_file(target: Path) -> Iterator[PartFile]:
    """Open a file under a temporary name; it is removed at the end unless it was committed.

    The name is unique, the file is new, and no link is followed. What a killed process leaves is
    removed by `remove_stale_parts`.

    Args:
        target: The final path; its directory must exist.

    Raises:
        OSError: The file cannot be created or written.
    """
    path, descriptor, lock = _created(target)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield PartFile(path, target, file)
    finally:
        with suppress(OSError):  # it has its final name, or is not wanted
            path.unlink()
        if lock is not None:
            os.close(lock)


def replaces_file(path: Path) -> bool:
    """Whether there is a file at `path` that `whole_file` would replace."""
    try:
        return path.is_file() and _named_descriptor(path) is None
    except OSError:  # as for a name that is too long; `whole_file` tells why
        return False


def _stream(path: Path) -> int | None:
    """Open a device, a pipe or an open file of this process; return None for anything else."""
    number = _named_descriptor(path)
    if number is not None:
        return os.dup(number)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # `_target` tells why
        return None
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    return os.open(path, os.O_WRONLY | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_CLOEXEC", 0))


def _named_descriptor(path: Path) -> int | None:
    for _ in range(_MOST_LINKS):
        if str(path.parent) in _DESCRIPTORS and path.name.isascii() and path.name.isdigit():
            return int(path.name)
        try:
            path = path.parent / path.readlink()
        except (OSError, ValueError):
            return None
    return None


def _target(path: Path) -> Path:
    """Return the file that is replaced: `path`, or what it leads to."""
    try:
        target = Path(os.path.realpath(path))
        found = target.lstat().st_mode
    except FileNotFoundError:
        if not target.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "its directory does not exist") from None
        return target
    except ValueError as error:  # as NUL in a name
        raise OSError(errno.EINVAL, str(error)) from error
    if stat.S_ISDIR(found):
        raise IsADirectoryError(errno.EISDIR, "it is a directory; name a file")
    if stat.S_ISLNK(found):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return target


def _created(target: Path) -> tuple[Path, int, int | None]:
    """Create the temporary file; return its path, its descriptor, and one that holds its lock."""
    mode = _mode(target)
    while True:
        part = target.with_name(_NAME.format(secrets.token_hex(8)))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK
        descriptor = os.open(part, flags, 0o666 if mode is None else mode & 0o600)
        if mode is not None and hasattr(os, "fchmod"):
            with suppress(OSError):  # as on file systems without modes
                os.fchmod(descriptor, mode)
        if sys.platform == "win32":
            return part, descriptor, None
        # The lock is that of the open file, and lasts until the second descriptor is closed too.
        if _lock(descriptor) is not False and _is_there(part, descriptor):
            return part, descriptor, os.dup(descriptor)
        os.close(descriptor)  # another process took it for a stale one before it had its lock


def _mode(target: Path) -> int | None:
    """The permissions of the file that is replaced; None if there is none."""
    try:
        found = target.lstat().st_mode
    except FileNotFoundError:
        return None
    return stat.S_IMODE(found) & 0o777 if stat.S_ISREG(found) else None


def _lock(descriptor: int) -> bool | None:
    """Lock an open file.

    Returns:
        False if another process holds the lock, None if the file system has no locks.
    """
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_there(part: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(part.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def remove_stale_parts(folder: Path) -> None:
    """Remove the temporary files of killed processes from a folder: those whose lock is free."""
    if sys.platform == "win32":  # nothing is removed without a lock
        return
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _TEMPORARY.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    _remove_if_stale(Path(entry.path))


def _remove_if_stale(part: Path) -> None:
    descriptor = os.open(part, os.O_RDONLY | os.O_NONBLOCK | _NO_LINK)
    try:
        if _lock(descriptor) and _is_there(part, descriptor):
            part.unlink()
    finally:
        os.close(descriptor)
