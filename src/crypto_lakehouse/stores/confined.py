"""Keeps what is created, moved and deleted below one directory, whatever links are in it.

The directory itself may be a symbolic link: the user chose it. A link in it that
leads out is never followed, and a link that leads to another place in it only by the store of
archives. A file is deleted in a folder that is held open by its descriptor, and that was opened
without following a link, so that no link that is made in the meantime redirects it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from crypto_lakehouse.core.errors import StoreError

__all__ = ["files_below", "has_link", "leads_out", "open_folder", "remove_empty", "remove_file"]

_LINK = "a symbolic link leads out of `{root}`, and nothing is changed where it leads; remove it"

#: Windows has no descriptors of folders.
_HAS_DESCRIPTORS = os.open in os.supports_dir_fd and os.unlink in os.supports_dir_fd

_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)


def leads_out(root: str, path: str) -> bool:
    """Whether a path below `root` leads out of it by a symbolic link."""
    inside = os.path.realpath(root)
    return os.path.commonpath([inside, os.path.realpath(path)]) != inside


@contextmanager
def open_folder(root: str, folder: str, *, follow: bool = False) -> Iterator[int | None]:
    """Open a folder below `root`; its descriptor is valid in the context.

    Args:
        root: The directory.
        folder: A path that begins with `root`.
        follow: Whether links are followed that stay inside `root`; otherwise no link is.

    Yields:
        The descriptor; None if the system has none, and then the path is checked alone.

    Raises:
        StoreError: A link leads out of `root`, or is not followed.
        OSError: The folder is missing, or is none.
    """
    if leads_out(root, folder) or (not follow and has_link(root, folder)):
        raise StoreError(folder, _LINK.format(root=root))
    if not _HAS_DESCRIPTORS:
        yield None
        return
    inside = os.path.realpath(root)
    names = Path(os.path.realpath(folder)).relative_to(inside).parts
    descriptor = os.open(inside, _FOLDER)
    try:
        for name in names:
            below = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def has_link(root: str, path: str) -> bool:
    """Whether any folder between `root` and a path is a symbolic link, or the path is one."""
    below = Path(path).relative_to(root)
    return os.path.realpath(path) != os.path.join(os.path.realpath(root), *below.parts)  # noqa: PTH118


def remove_file(root: str, path: str, *, follow: bool = False) -> int | None:
    """Remove a file below `root`; a link in its place is removed, and not followed.

    Args:
        root: The directory.
        path: A path that begins with `root`.
        follow: As for `open_folder`.

    Returns:
        Its size; None if there is no such file.

    Raises:
        StoreError: A link on its path is not followed.
        OSError: It cannot be removed.
    """
    folder, _, name = path.rpartition("/")
    try:
        with open_folder(root, folder, follow=follow) as descriptor:
            at = path if descriptor is None else name
            size = os.stat(at, dir_fd=descriptor, follow_symlinks=False).st_size
            os.unlink(at, dir_fd=descriptor)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return size


def remove_empty(root: str, folder: str, *, up_to: str) -> None:
    """Remove a folder and those above it, as long as they are empty, but not `up_to`."""
    with suppress(OSError):  # it is not empty
        while folder.startswith(f"{up_to}/"):
            above, _, name = folder.rpartition("/")
            with open_folder(root, above) as descriptor:
                at = folder if descriptor is None else name
                os.rmdir(at, dir_fd=descriptor)
            folder = above


def files_below(root: str, folder: str) -> Iterator[os.DirEntry[str]]:
    """Yield the regular files below a folder, folder by folder; no link is followed.

    Raises:
        StoreError: A link leads to the folder.
    """
    if has_link(root, folder):
        raise StoreError(folder, _LINK.format(root=root))
    pending = [folder]
    while pending:
        try:
            with os.scandir(pending.pop()) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            continue
        below = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        pending += reversed(below)
        yield from (entry for entry in entries if entry.is_file(follow_symlinks=False))
