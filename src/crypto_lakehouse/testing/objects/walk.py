"""Walk a tree's keys in order, without building it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator

__all__ = ["walk"]


#: Sorts after every key that begins with the text before it.
LAST = "\U0010ffff"


def walk(
    children: Callable[[str], Iterable[str]], prefix: str, after: str, folder: str = ""
) -> Iterator[str]:
    """Walk a tree's keys in order, entering only folders that can hold a requested key.

    Args:
        children: Returns the sorted names in a folder, as a list if it exists; those of folders
            end with a slash.
        prefix: Only keys that begin with it.
        after: Only keys that sort after it.
        folder: Where to begin, for the recursion.
    """
    for name in _names_from(children(folder), folder, max(prefix, after)):
        path = folder + name
        is_inside = path.startswith(prefix)
        if path > prefix and not is_inside:
            return
        if not name.endswith("/"):
            if is_inside and path > after:
                yield path
        elif (is_inside or prefix.startswith(path)) and path + LAST > after:
            yield from walk(children, prefix, after, path)


def _names_from(names: Iterable[str], folder: str, place: str) -> Iterable[str]:
    """Skip names that end before `place`: with thousands of symbols, most of them."""
    if not isinstance(names, list):
        return names

    def end(name: str) -> str:
        return folder + name + (LAST if name.endswith("/") else "")

    return names[bisect_left(names, place, key=end) :]
