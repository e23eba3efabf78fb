"""Places that no output and no lake can have: inside the own folder of an output."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from crypto_lakehouse.core.config.storage import is_url
from crypto_lakehouse.core.messages import shown

__all__ = ["OWN_FOLDER", "own_folder_fault"]

#: The folder in an output for everything that is not the publisher's.
OWN_FOLDER = ".lakehouse"

#: Where a lake may be in it.
_LAKE = [OWN_FOLDER, "lake"]


def own_folder_fault(place: str, *, is_lake: bool = False) -> str | None:
    """Return why a place cannot be used, as it is in the own folder of an output; None if it can.

    Args:
        place: An absolute path, or a URL.
        is_lake: Whether it is for a lake, which may be `.lakehouse/lake` of its output.
    """
    path = urlsplit(place).path if is_url(place) else place
    names = [unquote(name) if is_url(place) else name for name in path.strip("/").split("/")]
    if is_lake and names[-2:] == _LAKE:
        names = names[:-2]
    if OWN_FOLDER not in names:
        return None
    return (
        f"`{shown(place)}` is in `{OWN_FOLDER}`, the own folder of an output; name that output, or "
        "another place"
    )
