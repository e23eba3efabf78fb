"""The website is built without a fault, and asks no other host for anything."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.documentation.collector import ROOT
from tests.services.installed import program


class _Loaded(HTMLParser):
    """Collects what a browser loads with a page; a link that is followed is none of it."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        is_canonical = tag == "link" and values.get("rel") in {"canonical", "next", "prev"}
        if tag != "a" and not is_canonical:
            self.addresses += [values[each] for each in ("src", "href", "srcset") if each in values]


def loaded(site: Path) -> Iterator[str]:
    for page in site.rglob("*.html"):
        parser = _Loaded()
        parser.feed(page.read_text(encoding="utf-8"))
        yield from parser.addresses
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        yield from re.findall(r"""(?:url\(|@import )["']?([^"')]+)""", text)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    options = ["build", "--strict", "--site-dir", str(folder)]
    command = [str(program("docs")), "-m", "mkdocs", *options]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_nothing_is_loaded_from_another_host(site: Path) -> None:
    addresses = [*loaded(site)]
    assert len(addresses) > 100
    assert [each for each in addresses if re.match(r"(?:[a-z]+:)?//", each)] == []


def test_python_is_documented_with_arguments(site: Path) -> None:
    page = (site / "reference/python/index.html").read_text(encoding="utf-8")
    assert 'id="crypto_lakehouse.run_collection"' in page
    assert 'id="crypto_lakehouse.tables.Lake.scan"' in page
    assert "<blockquote>" not in page, "an example is shown as quotes: name its section `Examples:`"
