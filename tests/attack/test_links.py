"""Every folder of a tree as a symbolic link: no command changes anything where it leads."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.attack.conftest import DAYS, KEYS, digests, run, three_days
from tests.attack.raw_source import RawSource, kline_zip

#: Each command is tried on each tree; `{url}` is the source's.
COMMANDS = {
    "collect": "collect -o {out} {select} -q",
    "collect again": "collect -o {out} {select} -q --force-redownload",
    "collect with processes": "collect -o {out} {select} -q --processes 2",
    "collect and ingest": "collect -o {out} {select} -q --ingest",
    "repair": "verify -o {out} --repair --source-url {url} --max-retries 0",
    "prune": "history -o {out} --prune 0",
    "ingest": "ingest -o {out}",
    "ingest again": "ingest -o {out} --again",
    "ingest into files": "ingest -o {out} --format parquet",
    "compact": "lake compact -o {out}",
    "expire": "lake expire -o {out} --older-than 0",
    "sweep": "lake sweep -o {out}",
    "validate": "validate -o {out}",
    "status": "status -o {out}",
    "plan": "plan -o {out} {select}",
    "query": "query -o {out} SELECT+count(*)+FROM+spot.klines",
}
_SELECT = (
    f"--markets spot -s BTCUSDT -t klines -i 1h --start {DAYS[0]} --end {DAYS[-1]} "
    "--source-url {url} --discovery calendar --max-retries 0"
)

#: Names that some command deletes or opens in one of its own folders.
_BAITS = (
    "precious", "1.lock", "lock", "orphan.parquet", "x.zip.part", "x.zip",
    "BTCUSDT-1h-2025-07-11.zip.part", f"20200101T000000Z-{'a' * 64}.zip",
)  # fmt: skip

#: These alone run in `make test`.
_QUICK = (
    ".lakehouse/unfinished",
    ".lakehouse/workers",
    ".lakehouse/replaced",
    ".lakehouse/lake/warehouse/spot/klines/data",
)


def command(text: str, url: str) -> list[str]:
    words = text.replace("{select}", _SELECT).replace("{url}", url).split()
    return [word.replace("{out}", "out").replace("+", " ") for word in words]


def build(source: RawSource, root: Path) -> None:
    """A tree with everything in it: tables, a replaced version, a quarantined archive."""
    for text in ("collect", "ingest"):
        assert run(*command(COMMANDS[text], source.url)).code == 0
    source.publish(KEYS[0], kline_zip(KEYS[0], ["1,2"]))
    source.files[KEYS[1]] = b"no zip"
    run(*command(COMMANDS["collect again"], source.url))
    state = root / ".lakehouse"
    for name in ("unfinished", "workers"):
        (state / name).mkdir(exist_ok=True)
    assert list((state / "replaced").rglob("*.zip"))
    assert list((state / "quarantine").rglob("*.zip"))
    journal = {"commit": "a" * 32, "table": "spot.klines"}
    victim = {"file": f"file://{root.parent / 'outside' / 'precious'}"}
    text = "".join(json.dumps(line) + "\n" for line in (journal, victim))
    (state / "lake" / "journal" / f"{'a' * 32}.journal").write_text(text)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, RawSource]]:
    """The tree as it is built once; a lake stays at its path."""
    place = tmp_path_factory.mktemp("links")
    with contextlib.chdir(place), three_days() as source:
        build(source, place / "out")
        (place / "out").rename(place / "template")
        yield place, source


@pytest.fixture
def tree(template: tuple[Path, RawSource], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the tree, whose commands run here."""
    monkeypatch.chdir(template[0])
    return template[0]


def restore(place: Path) -> Path:
    for name in ("out", "outside"):
        shutil.rmtree(place / name, ignore_errors=True)
    shutil.copytree(place / "template", place / "out", symlinks=True)
    return place / "out"


def plant(place: Path, folder: str) -> Path:
    """Move a folder out of the tree, and leave a link to it; return where it is."""
    root, outside = restore(place), place / "outside"
    shutil.move(root / folder, outside)
    for name in _BAITS:
        if not (outside / name).exists():
            (outside / name).write_text("precious")
    (root / folder).symlink_to(outside, target_is_directory=True)
    return outside


def check(place: Path, url: str, folder: str, texts: dict[str, str]) -> None:
    for text in texts.values():
        outside = plant(place, folder)
        before = contents(outside)
        run(*command(text, url))
        assert contents(outside) == before, (folder, text)


def contents(outside: Path) -> dict[str, str]:
    """What is there, without the two files that SQLite makes to read a database."""
    ends = ("ledger.sqlite-shm", "ledger.sqlite-wal")
    return {name: text for name, text in digests(outside).items() if not name.endswith(ends)}


@pytest.mark.parametrize("folder", _QUICK)
def test_nothing_is_deleted_through_a_link(
    tree: Path, template: tuple[Path, RawSource], folder: str
) -> None:
    quick = ("collect", "prune", "sweep")
    check(tree, template[1].url, folder, {name: COMMANDS[name] for name in quick})


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_changes_anything_where_a_link_leads(
    tree: Path, template: tuple[Path, RawSource], name: str
) -> None:
    top = tree / "template"
    folders = sorted(str(path.relative_to(top)) for path in top.rglob("*") if path.is_dir())
    assert len(folders) > 25
    if "processes" in name:  # a start takes a second
        folders = [*_QUICK, "data"]
    for folder in folders:
        check(tree, template[1].url, folder, {name: COMMANDS[name]})


def test_a_line_of_a_journal_deletes_no_file_but_that_of_its_run(
    tree: Path, template: tuple[Path, RawSource]
) -> None:
    root = restore(tree)
    data = root / ".lakehouse/lake/warehouse/spot/klines/data"
    live = sorted(data.rglob("*.parquet"))
    assert live
    (tree / "outside").mkdir()
    victims = [tree / "outside" / "precious", root / "precious", *live]
    for path in victims[:2]:
        path.write_text("precious")
    for number, path in enumerate([*victims, data / "../../../../../../../outside/precious"]):
        commit = f"{number:032x}"
        lines = [{"commit": commit, "table": "spot.klines"}, {"file": f"file://{path}"}]
        journal = root / ".lakehouse/lake/journal" / f"{commit}.journal"
        journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name, text in {"list": "[]", "number": '5\n"file"\n', "none": '{"file": 5}\n{}'}.items():
        (root / ".lakehouse/lake/journal" / f"{name}.journal").write_text(text)
    before = {path: path.read_bytes() for path in victims}
    assert run(*command(COMMANDS["ingest"], template[1].url)).code in {0, 4}
    assert {path: path.read_bytes() for path in before} == before
    assert not list((root / ".lakehouse/lake/journal").iterdir())


def test_data_as_a_link_is_told_once_and_a_linked_output_directory_works(
    tree: Path, template: tuple[Path, RawSource]
) -> None:
    plant(tree, "data")
    ended = run(*command(COMMANDS["collect"], template[1].url))
    assert ended.code == 2
    assert ended.err.count("symbolic link") == 1
    assert "make the output directory itself the link" in ended.err
    root = restore(tree)
    root.rename(tree / "outside")
    root.symlink_to(tree / "outside", target_is_directory=True)
    before = len(template[1].requests)
    ended = run(*command(COMMANDS["collect again"], template[1].url))
    assert "symbolic link" not in ended.out + ended.err
    assert len(template[1].requests) > before
    assert run(*command(COMMANDS["prune"], template[1].url)).code == 0
    assert not list((tree / "outside/.lakehouse/replaced").rglob("*.zip"))
