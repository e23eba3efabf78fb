"""Files of a tree that are hard links: no command writes into the file under its other name."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from tests.attack.conftest import DAYS, KEYS, Ended, run
from tests.attack.raw_source import RawSource

from crypto_lakehouse.stores.directory import LocalStore

TEXT = "precious\n" * 1000

#: Where links are planted, and a command that would write there.
PLACES = {
    ".lakehouse/lock": "collect",
    ".lakehouse/workers/1.lock": "collect",
    ".lakehouse/ledger.sqlite": "collect",
    ".lakehouse/ledger.sqlite-wal": "collect",
    ".lakehouse/ledger.sqlite-shm": "collect",
    ".lakehouse/lake/lock": "ingest",
    ".lakehouse/lake/catalog.db": "ingest",
    ".lakehouse/lake/catalog.db-journal": "ingest",
}


def command(name: str, source: RawSource) -> list[str]:
    if name != "collect":
        return [*name.split(), "-o", "out"]
    return [
        "collect", "-o", "out", "--markets", "spot", "-s", "BTCUSDT", "-t", "klines", "-i", "1h",
        "--partitions", "daily", "--start", DAYS[0], "--end", DAYS[-1],
        "--source-url", source.url, "--listing-url", source.url, "-q",
    ]  # fmt: skip


def advised(ended: Ended) -> str:
    assert ended.code not in {0, 1} or "names" in ended.err, ended
    return ended.err


@pytest.mark.parametrize("place", PLACES)
def test_a_planted_hard_link_is_refused_and_its_file_stays(
    source: RawSource, here: Path, place: str
) -> None:
    assert run(*command("collect", source)).code == 0
    assert run(*command("ingest", source)).code == 0
    outside = here / "outside.txt"
    planted = here / "out" / place
    if planted.exists() and not planted.name.endswith("lock"):
        shutil.copyfile(planted, outside)
    else:
        outside.write_text(TEXT)
    before = outside.read_bytes()
    planted.parent.mkdir(exist_ok=True)
    planted.unlink(missing_ok=True)
    os.link(outside, planted)
    said = advised(run(*command(PLACES[place], source)))
    assert f"{place}` is a file with 2 names" in said
    for name in ("status", "verify", "lake compact", "history --prune 0"):
        run(*command(name, source))
    assert outside.read_bytes() == before
    planted.unlink(missing_ok=True)  # SQLite removes a journal that it does not need
    if not place.endswith((".sqlite", ".db")):
        assert run(*command(PLACES[place], source)).code == 0


def test_a_snapshot_of_hard_links_stays_as_it_is(source: RawSource, here: Path) -> None:
    assert run(*command("collect", source)).code == 0
    shutil.copytree("out", "snapshot", copy_function=os.link)
    before = {path: path.read_bytes() for path in (here / "snapshot").rglob("*") if path.is_file()}
    for name in ("lock", "ledger.sqlite"):
        path = here / "out/.lakehouse" / name
        assert "cp -p" in advised(run(*command("collect", source)))
        shutil.copy2(path, f"{path}.new")
        Path(f"{path}.new").rename(path)
    (here / "out" / KEYS[0]).unlink()
    assert run(*command("collect", source)).code == 0
    for path, content in before.items():
        assert path.read_bytes() == content


async def test_an_unfinished_body_is_continued_in_a_file_of_its_own(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    part = tmp_path / f"{KEYS[0]}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"begin")
    os.link(part, tmp_path / "snapshot")
    unfinished = await store.open_part(KEYS[0], resume=True)
    await unfinished.append(b"end")
    await unfinished.close()
    assert part.read_bytes() == b"beginend"
    assert (tmp_path / "snapshot").read_bytes() == b"begin"
    part.unlink()
    os.link(tmp_path / "snapshot", part)
    again = await store.open_part(KEYS[0], resume=False)
    await again.append(b"new")
    await again.close()
    assert (part.read_bytes(), (tmp_path / "snapshot").read_bytes()) == (b"new", b"begin")
    assert sorted(path.name for path in part.parent.iterdir()) == [part.name]
