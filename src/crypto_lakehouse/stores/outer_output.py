"""Find an output that another one is inside of: its `data/` would have the archives of both."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from crypto_lakehouse.core.config.own_folder import OWN_FOLDER
from crypto_lakehouse.core.config.storage import StoreUrl
from crypto_lakehouse.core.errors import ConfigurationError, Problem, StoreError
from crypto_lakehouse.core.messages import shown

if TYPE_CHECKING:
    from crypto_lakehouse.stores.output import Output

__all__ = ["refuse_inside_data"]

_DATA = "data"


def refuse_inside_data(output: Output | None) -> None:
    """Refuse an output that is inside `data/` of another one; blocking.

    An application's own store, whose place is not known, is None and accepted.

    Only a path with a folder `data` costs anything: for each one, a look for the own folder of an
    output beside it, which is a request to an object store. If the store does not allow that
    request, the output is accepted.

    Raises:
        ConfigurationError: It is inside.
    """
    if output is None:
        return
    outer = _outer_url(output) if output.is_url else _outer_directory(output.state.root)
    if outer is not None:
        reason = (
            f"`{shown(output.place)}` is in `{_DATA}` of the output `{shown(outer)}`, whose "
            f"archives it would be counted with; use another place, or, if `{shown(outer)}` is no "
            f"output any more, remove `{OWN_FOLDER}` there"
        )
        raise ConfigurationError([Problem("$.output_directory", reason)])


def _outer_directory(root: Path) -> str | None:
    path = root.resolve()
    for folder in (path, *path.parents):
        if folder.name == _DATA and (folder.parent / OWN_FOLDER).is_dir():
            return str(folder.parent)
    return None


def _outer_url(output: Output) -> str | None:
    from crypto_lakehouse.stores.output import open_store_at

    url = StoreUrl.parse(output.place)
    names = url.prefix.split("/")
    for depth, name in enumerate(names):
        if name == _DATA:
            outer = StoreUrl(url.scheme, url.bucket, "/".join(names[:depth]))
            objects = open_store_at(outer, output.config).client
            with suppress(StoreError):
                if next(objects.objects(f"{OWN_FOLDER}/"), None) is not None:
                    return str(outer)
    return None
