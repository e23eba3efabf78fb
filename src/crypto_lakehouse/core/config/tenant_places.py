"""What each tenant writes to, so that no two of them have the same place, or one in the other."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from crypto_lakehouse.core.config.database_url import is_database_url
from crypto_lakehouse.core.config.storage import StoreUrl, is_url, store_identity, store_url_fault
from crypto_lakehouse.core.config.tenants import TENANTS
from crypto_lakehouse.core.errors import Problem
from crypto_lakehouse.core.messages import shown

__all__ = ["place_faults"]

#: The keys that name a place, and what each place is called.
_PLACES = {
    "output_directory": "output",
    "state_directory": "state directory",
    "lake": "tables",
    "metrics_textfile": "file for metrics",
}


@frozen
class _Place:
    """A place of a tenant.

    Attributes:
        key: The key that names it.
        shown: Its name, for messages.
        parts: Its path in parts, the outermost first; the first one is the store or the machine.
    """

    key: str
    shown: str
    parts: tuple[str, ...]


def place_faults(values: Mapping[str, Mapping[str, Any]]) -> list[Problem]:
    """Find tenants that would write to the same place, or one of them inside that of another.

    Args:
        values: The values of each tenant, by its name: all that apply to it, as they are given.
            What is no place at all is left out here, and refused by the key's own check.
    """
    owners: dict[tuple[str, ...], tuple[str, _Place]] = {}
    catalogs: dict[str, str] = {}
    problems: list[Problem] = []
    places = [(name, each) for name, given in values.items() for each in _places(given)]
    for name, place in sorted(places, key=lambda item: len(item[1].parts)):
        for length in range(1, len(place.parts) + 1):
            owner, outer = owners.get(place.parts[:length], (name, place))
            if owner != name:
                is_same = length == len(place.parts)
                problems.append(_problem(name, place, owner, outer, is_same=is_same))
                break
        else:
            owners.setdefault(place.parts, (name, place))
    for name, given in values.items():
        catalog = given.get("catalog")
        if not isinstance(catalog, str) or is_database_url(catalog):
            continue  # a database has the tables of each lake under a name of their own
        owner = catalogs.setdefault(catalog, name)
        if owner != name:
            problems.append(_shared_catalog(name, catalog, owner))
    return problems


def _problem(name: str, place: _Place, owner: str, outer: _Place, *, is_same: bool) -> Problem:
    relation = "is also" if is_same else "is inside"
    other = f"the {_PLACES[outer.key]} of tenant `{owner}`"
    inside = "" if is_same else f", {outer.shown}"
    reason = f"`{place.shown}` {relation} {other}{inside}; give each tenant places of its own"
    return Problem(f"$.{TENANTS}.{name}.{place.key}", reason)


def _shared_catalog(name: str, catalog: str, owner: str) -> Problem:
    reason = (
        f"`{shown(catalog)}` is also the catalog of tenant `{owner}`, and has one namespace for "
        "each market; give each tenant a catalog of its own"
    )
    return Problem(f"$.{TENANTS}.{name}.catalog", reason)


def _places(given: Mapping[str, Any]) -> Iterator[_Place]:
    storage = given.get("storage")
    for key in _PLACES:
        value = given.get(key)
        if not isinstance(value, str | os.PathLike) or not os.fspath(value):
            continue
        if key == "state_directory" and not _is_of_store(given):
            continue  # a directory has its state inside
        text = os.fspath(value)
        if not is_url(text):
            path = Path(os.path.realpath(os.path.expanduser(text)))  # noqa: PTH111 - keeps `./~`
            yield _Place(key, shown(str(path)), path.parts)
        elif not store_url_fault(text):
            url = StoreUrl.parse(text)
            store = StoreUrl(url.scheme, url.bucket, "")
            identity = store_identity(store, storage if isinstance(storage, Mapping) else None)
            yield _Place(key, shown(text), (identity, *filter(None, url.prefix.split("/"))))


def _is_of_store(given: Mapping[str, Any]) -> bool:
    places = (given.get("output_directory"), given.get("lake"))
    return any(isinstance(each, str) and is_url(each) for each in places)
