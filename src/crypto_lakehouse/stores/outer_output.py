"""Find an output or a lake that another one is inside of: its files would be those of both."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from crypto_lakehouse.core.config.own_folder import OWN_FOLDER
from crypto_lakehouse.core.config.storage import StoreUrl
from crypto_lakehouse.core.errors import ConfigurationError, Problem, StoreError
from crypto_lakehouse.core.messages import shown

if TYPE_CHECKING:
    from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
    from crypto_lakehouse.stores.output import Output

__all__ = ["outer_fault", "refuse_inside_another"]


def refuse_inside_another(output: Output | None) -> None:
    """Refuse an output inside `data/` of another one, or inside `warehouse/` of a lake; blocking.

    An application's own store, whose place is not known, is None and accepted.

    Only a path with a folder `data` or `warehouse` costs anything: for each one, a look beside it
    for what an output or a lake has, which is one request to an object store, or two. If the store
    does not allow them, the output is accepted.

    Raises:
        ConfigurationError: It is inside.
    """
    if output is None:
        return
    place = StoreUrl.parse(output.place) if output.is_url else output.state.root
    if (outer := _outer(place, output.config, _OUTPUT)) is not None:
        reason = (
            f"`{shown(output.place)}` is in `{_OUTPUT.folder}` of the output `{shown(outer)}`, "
            f"whose archives it would be counted with; use another place, or, if `{shown(outer)}` "
            f"is no output any more, remove `{OWN_FOLDER}` there"
        )
        raise ConfigurationError([Problem("$.output_directory", reason)])
    if (lake := _outer(place, output.config, _LAKE)) is not None:
        reason = (
            f"`{shown(output.place)}` is in `{_LAKE.folder}` of the lake `{shown(lake)}`, which "
            "takes files there for its own, and may delete them; use another place"
        )
        raise ConfigurationError([Problem("$.output_directory", reason)])


def outer_fault(place: Path | StoreUrl, config: WorkflowConfig | None) -> str:
    """Return why no lake can be at a place; empty if one can; blocking.

    As for outputs, only a path with a folder `data` or `warehouse` costs anything.

    Args:
        place: The directory or the URL of the lake.
        config: How the object store is reached.
    """
    for kind in (_OUTPUT, _LAKE):
        if (outer := _outer(place, config, kind)) is not None:
            return (
                f"`{shown(str(place))}` is in `{kind.folder}` of the {kind.name} `{shown(outer)}`, "
                "whose files would be taken for those of the other one; use another place"
            )
    return ""


@frozen
class _Kind:
    """What a place may be inside of.

    Attributes:
        name: What it is.
        folder: Its folder that no other output or lake may be in.
        marks: What shows it, one of them; below what that folder is in.
        stored: The same in an object store.
    """

    name: str
    folder: str
    marks: tuple[str, ...]
    stored: tuple[str, ...]


#: Each lake has this table, also one whose catalog is in a database.
_RECORDS = "warehouse/lakehouse/archives/metadata"

_OUTPUT = _Kind("output", "data", (OWN_FOLDER,), (f"{OWN_FOLDER}/",))
_LAKE = _Kind(
    "lake", "warehouse", ("catalog.db", _RECORDS), (f"{OWN_FOLDER}/tables/", f"{_RECORDS}/")
)


def _outer(place: Path | StoreUrl, config: WorkflowConfig | None, kind: _Kind) -> str | None:
    if isinstance(place, StoreUrl):
        return _outer_url(place, config, kind)
    path = place.resolve()
    for folder in (path, *path.parents):
        if folder.name == kind.folder:
            outer = folder.parent
            if any(os.access(outer / mark, os.F_OK) for mark in kind.marks):
                return str(outer)
    return None


def _outer_url(url: StoreUrl, config: WorkflowConfig | None, kind: _Kind) -> str | None:
    from crypto_lakehouse.stores.output import open_store_at

    names = url.prefix.split("/")
    for depth, name in enumerate(names):
        if name == kind.folder:
            outer = StoreUrl(url.scheme, url.bucket, "/".join(names[:depth]))
            objects = open_store_at(outer, config).client
            with suppress(StoreError):
                if any(next(objects.objects(mark), None) is not None for mark in kind.stored):
                    return str(outer)
    return None
