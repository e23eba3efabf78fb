"""No path outside the output directory is ever written, whatever anybody names, lists or links."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from tests.faults.sandbox import Sandbox
from tests.workflows.conftest import (
    BIG_KEY,
    KEY,
    SIDECAR,
    Collection,
    big_zip,
    make_zip,
    member_of,
)

from crypto_lakehouse.core.archive import Archive, DataType, Market, Period, Series
from crypto_lakehouse.core.errors import LakehouseError
from crypto_lakehouse.core.report import CollectionReport
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.testing.faults import Body, Flip

FOLDER = KEY.rpartition("/")[0]
KLINES = "data/spot/daily/klines/"

#: Names that would lead out of a folder, or whose bytes would command a terminal or a shell.
HOSTILE = [
    "..",
    "../../../../../../outside/x",
    "/etc/passwd",
    "..\\..\\outside",
    "%2e%2e%2f%2e%2e%2foutside",
    "%2e%2e",
    "a/../../b",
    "~",
    "$HOME",
    "-rf",
    "x" * 5000,
    "x" * 250,
    "\u202eTDSUCTB",
    "a\u2066b",
    "CON",
    "C:\\x",
    "a\x7fb",
    "a\nb",
    "\ufeffA",
    "BTCUSDT\u200b",
]
UNPRINTABLE = ["\0", "a\0b", "a\x1b[2Jb"]


@pytest.fixture
def archive_server() -> Iterator[ArchiveServer]:
    """One symbol and a few days, which are listed in no time."""
    with ArchiveServer(
        symbols=["BTCUSDT"], start=date(2025, 7, 14), end=date(2025, 7, 16)
    ) as server:
        yield server


@pytest.fixture
def sandbox(tmp_path: Path, collection: Collection, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The collection's output directory among files that are nobody's business."""
    root = tmp_path / "sandbox"
    root.mkdir()
    collection.root = root / "out"
    collection.config["output_directory"] = str(collection.root)
    sandbox = Sandbox.at(root, collection.root)
    monkeypatch.chdir(root)
    monkeypatch.setenv("HOME", str(root / "home"))
    return sandbox


async def attempt(collection: Collection, **changes: Any) -> CollectionReport | None:
    """Run; None where the run is refused, in our own words."""
    with suppress(LakehouseError):
        return await collection.run(**changes)
    return None


# What is named -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*HOSTILE, *UNPRINTABLE])
async def test_a_symbol_leads_nowhere(collection: Collection, sandbox: Sandbox, name: str) -> None:
    await attempt(collection, symbols=[name])
    await attempt(collection, symbols={"spot": [name]})
    sandbox.check()


@pytest.mark.parametrize("name", [*HOSTILE, *UNPRINTABLE])
async def test_an_archive_that_an_application_names_leads_nowhere(
    collection: Collection, sandbox: Sandbox, name: str
) -> None:
    day = Period.day(date(2025, 7, 15))
    for key in (f"{KLINES}{name}/1h/{name}-1h-2025-07-15.zip", name):
        with suppress(LakehouseError):
            await attempt(collection, archives=[Archive.parse(key)])
    with suppress(LakehouseError):
        series = Series(Market.SPOT, DataType.TRADES, name)
        await attempt(collection, archives=[Archive(series, day)])
    sandbox.check()


@pytest.mark.parametrize("name", [*HOSTILE, *UNPRINTABLE])
async def test_a_matrix_leads_nowhere(
    collection: Collection, sandbox: Sandbox, tmp_path: Path, name: str
) -> None:
    matrix = tmp_path / "matrix.json"
    text = Path(__file__).parents[2].joinpath("matrix", "binance.json").read_text("utf-8")
    escaped = "".join(f"\\u{ord(each):04x}" for each in name)
    for old in ('"BTCUSDT"', '"klines"', '"spot"', '"1h"'):
        matrix.write_text(text.replace(old, f'"{escaped}"'), "utf-8")
        await attempt(collection, matrix_path=str(matrix), symbols=["*"])
    sandbox.check()


# What is listed ------------------------------------------------------------------------------


def page(keys: list[str] = [], folders: list[str] = []) -> Body:  # noqa: B006 - never changed
    """A page of a listing, percent-encoded where XML could not hold a name."""
    shown = "".join(
        f"<Contents><Key>{_encoded(key)}</Key><Size>300</Size></Contents>" for key in sorted(keys)
    ) + "".join(
        f"<CommonPrefixes><Prefix>{_encoded(folder)}</Prefix></CommonPrefixes>"
        for folder in sorted(folders)
    )
    facts = "<EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>"
    return Body(f"<ListBucketResult>{facts}{shown}</ListBucketResult>".encode())


def _encoded(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


@pytest.mark.parametrize("name", [*HOSTILE, *UNPRINTABLE])
async def test_a_listing_leads_nowhere(collection: Collection, sandbox: Sandbox, name: str) -> None:
    server, listed = collection.server, {"discovery": "listing", "symbols": None}
    listed["listing_url"] = server.url
    folders = [f"{KLINES}{name}/", f"{KLINES}BTCUSDT/"]
    server.inject(f"list:{KLINES}", page(folders=folders), endless=True)
    own = f"{FOLDER}/{name}-1h-2025-07-15.zip"
    server.inject(f"list:{FOLDER}/", page([own, KEY, SIDECAR, f"{SIDECAR}.{name}"]))
    await attempt(collection, **listed)
    server.heal()
    server.inject(
        f"list:{FOLDER}/",
        page([f"{FOLDER}/{name}", f"{KEY}/{name}", own, KEY, f"{KLINES}../{name}"]),
        endless=True,
    )
    await attempt(collection, **listed)
    sandbox.check()


async def test_what_is_honest_beside_a_hostile_name_is_collected(
    collection: Collection, sandbox: Sandbox
) -> None:
    """The pages above are read to their end: they are no errors that hide what comes behind."""
    listed = {"discovery": "listing", "symbols": None, "listing_url": collection.server.url}
    folders = [f"{KLINES}{name}/" for name in ("BTCUSDT", "~", "$HOME", "a\u2066b")]
    collection.server.inject(f"list:{KLINES}", page(folders=folders), endless=True)
    await collection.run(**listed)
    assert collection.path(KEY).is_file()
    sandbox.check()


# What a zip holds ----------------------------------------------------------------------------


def zip_of(name: str, mode: int = 0o644) -> bytes:
    """A zip whose one member has this name and mode."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        member = zipfile.ZipInfo("x")
        member.filename = name
        member.external_attr = mode << 16
        archive.writestr(member, b"../../outside")
    return buffer.getvalue()


@pytest.mark.parametrize("name", [each for each in HOSTILE if len(each) < 1000])
async def test_a_zip_leads_nowhere(collection: Collection, sandbox: Sandbox, name: str) -> None:
    collection.publish(KEY, zip_of(name))
    await collection.run()
    collection.publish(KEY, zip_of(member_of(KEY), 0o120777))
    report = await collection.run(force_redownload=True)
    sandbox.check()
    assert not any(path.is_symlink() for path in collection.root.rglob("*"))
    assert report.totals["verified"] + report.totals["unchanged"] + report.totals["corrupt"] == 1


# Symbolic links ------------------------------------------------------------------------------

#: Places in an output directory, and runs that would write to them.
PLACES = [
    "data",
    "data/spot",
    FOLDER,
    KEY,
    f"{KEY}.part",
    SIDECAR,
    f"{SIDECAR}.part",
    BIG_KEY.rpartition("/")[0],
    BIG_KEY,
    f"{BIG_KEY}.part",
    f"{BIG_KEY}.CHECKSUM",
    ".lakehouse/quarantine",
    f".lakehouse/quarantine/{FOLDER}",
    f".lakehouse/quarantine/{KEY}",
    f".lakehouse/quarantine/{KEY}.json",
    f".lakehouse/quarantine/{KEY}.json.part",
    ".lakehouse/replaced",
    f".lakehouse/replaced/{KEY}",
    ".lakehouse",
    ".lakehouse/lock",
    ".lakehouse/ledger.sqlite",
    ".lakehouse/ledger.sqlite-wal",
    ".lakehouse/ledger.sqlite-shm",
    ".lakehouse/ledger.sqlite-journal",
]
TARGETS = ["folder", "file", "empty", "nothing", "up"]

#: Places that are tried with every kind of link.
OFTEN = {
    "data",
    KEY,
    f"{KEY}.part",
    f"{BIG_KEY}.part",
    SIDECAR,
    ".lakehouse",
    ".lakehouse/lock",
    ".lakehouse/ledger.sqlite",
}

CASES = [
    (name, kind)
    for name, kind in product(PLACES, TARGETS)
    if kind in {"folder", "nothing"} or name in OFTEN
]


def link(sandbox: Sandbox, name: str, kind: str) -> Path:
    """Put a link that leads outside in place of something of the output directory."""
    targets = {
        "folder": sandbox.outside,
        "file": sandbox.outside / "precious",
        "empty": sandbox.outside / "empty",
        "nothing": sandbox.outside / "absent",
        "up": Path(os.path.relpath(sandbox.outside / "data", (sandbox.output / name).parent)),
    }
    path = sandbox.output / name
    path.parent.mkdir(parents=True, exist_ok=True)
    (sandbox.outside / "empty").touch()
    path.symlink_to(targets[kind])
    sandbox.remember()
    return path


async def every_kind_of_run(collection: Collection, *, large: bool) -> None:
    """Verify, replace and quarantine an archive; a large one comes in a part, and is resumed."""
    types = {"data_types": ["klines", "trades"] if large else ["klines"]}
    collection.publish(BIG_KEY, big_zip(1_200_000))
    await attempt(collection, **types)
    collection.publish(KEY, make_zip(member_of(KEY), b"another version\n"))
    collection.publish(BIG_KEY, big_zip(1_300_000))
    await attempt(collection, **types, force_redownload=True)
    for key in (KEY, BIG_KEY):
        collection.server.inject(key, Flip(at=60), endless=True)
    await attempt(collection, **types, force_redownload=True, replaced_retention_days=0)


@pytest.mark.parametrize(("name", "kind"), CASES)
async def test_a_symbolic_link_is_not_written_through(
    collection: Collection, sandbox: Sandbox, name: str, kind: str
) -> None:
    link(sandbox, name, kind)
    await every_kind_of_run(collection, large="klines" not in name)
    sandbox.check()


@pytest.mark.parametrize("name", [f"{KEY}.part", ".lakehouse/quarantine"])
async def test_a_symbolic_link_is_not_written_through_by_workers(
    collection: Collection, sandbox: Sandbox, name: str
) -> None:
    link(sandbox, name, "folder")
    await attempt(collection, processes=2)
    collection.server.inject(KEY, Flip(at=60), endless=True)
    await attempt(collection, processes=2, force_redownload=True)
    sandbox.check()
