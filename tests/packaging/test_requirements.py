"""What is installed is pinned: every dependency, with the hashes of its files."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_ROOT = Path(__file__).parents[2]


def of_image() -> list[str]:
    """The extras of the image that deploy/Dockerfile makes."""
    (names,) = re.findall(
        r"^IMAGE := .*,([a-z ]+)\)$", (_ROOT / "Makefile").read_text(), re.MULTILINE
    )
    return str(names).split()


#: Which files of pins must hold which lists of pyproject.toml.
_WANTED = {
    "runtime": ("dependencies", "build"),
    "image": ("dependencies", "build", *(f"extra {name}" for name in of_image())),
    "develop": ("dev", "tables"),
    "tables": ("tables",),
    "bench": ("bench",),
    "fuzz": ("fuzz",),
    "docs": ("docs",),
    "servers": ("servers",),
    "checkers": ("checkers",),
    "backtesters": ("backtesters",),
    "notebooks": ("notebooks",),
    "orchestrators": ("dependencies", "extra dagster", "extra prefect", "extra tables"),
}

#: Are installed into environments of their own.
_ALONE = {"docs", "servers", "checkers", "backtesters", "notebooks", "orchestrators"}


def declared(name: str) -> list[Requirement]:
    project: dict[str, Any] = tomllib.loads((_ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    lists = {
        **project["dependency-groups"],
        **{f"extra {each}": requirements for each, requirements in extras.items()},
        "dependencies": project["project"]["dependencies"],
    }
    return [Requirement(text) for text in lists[name] if isinstance(text, str)]


def pins(name: str) -> list[str]:
    """One text for each pin, its hashes included."""
    text = (_ROOT / "requirements" / f"{name}.txt").read_text()
    return [pin for pin in re.split(r"\n(?=\S)", text.replace("\\\n", " ")) if pin.strip()]


@pytest.mark.parametrize(("name", "lists"), _WANTED.items())
def test_every_dependency_is_pinned_to_a_version_that_is_allowed(
    name: str, lists: tuple[str, ...]
) -> None:
    pinned: dict[str, list[str]] = {}
    for pin in pins(name):
        found = Requirement(pin.split(" --hash")[0].strip())
        pinned.setdefault(canonicalize_name(found.name), []).append(str(found.specifier)[2:])
    for wanted in (requirement for each in lists for requirement in declared(each)):
        versions = pinned[canonicalize_name(wanted.name)]
        assert all(wanted.specifier.contains(version) for version in versions), wanted


@pytest.mark.parametrize("name", _WANTED)
def test_every_pin_has_hashes_and_names_no_place(name: str) -> None:
    for pin in pins(name):
        assert re.match(r"[a-zA-Z0-9._-]+==\S+", pin), pin
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", pin), pin
        assert "://" not in pin


def test_versions_that_two_files_pin_are_the_same() -> None:
    seen: dict[str, set[str]] = {}
    for name in _WANTED.keys() - _ALONE:
        for pin in pins(name):
            package, _, rest = pin.partition("==")
            version, _, marker = rest.split(" --hash")[0].partition(";")
            seen.setdefault(f"{package};{marker.strip()}", set()).add(version.strip())
    assert {package: found for package, found in seen.items() if len(found) > 1} == {}


def test_the_page_on_installing_has_every_extra() -> None:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    page = (_ROOT / "docs" / "install.md").read_text()
    rows = re.findall(r"^\| (`[^|]*) \|", page, re.MULTILINE)
    named = re.findall(r"`(\w+)`", " ".join(rows))
    assert sorted(named) == sorted(project["optional-dependencies"])
