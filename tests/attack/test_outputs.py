"""Every option that names an output file, with targets that are no ordinary files.

A target is written whole, or refused with one error; devices and pipes stay what they are, links
are never followed from a temporary name, and no temporary file is left.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.attack.conftest import DAYS, KEYS, Ended, digests, run, three_days
from tests.attack.raw_source import RawSource

_SELECT = (
    f"--markets spot -s BTCUSDT -t klines -i 1h --start {DAYS[0]} --end {DAYS[-1]} "
    "--source-url {url} --discovery calendar --max-retries 0"
)

#: The commands, with the end that the file's name must have. `+` is a blank.
COMMANDS = {
    "query as csv": ("query -o out --format csv --to {to} SELECT+*+FROM+spot.klines", ".csv"),
    "query as parquet": ("query -o out --to {to} SELECT+*+FROM+spot.klines", ".parquet"),
    "query as json": ("query -o out --to {to} SELECT+*+FROM+spot.klines", ".json"),
    "sums": ("verify -o out --sums {to}", ""),
    "combined": ("verify -o out --combined {to}", ""),
    "history": (f"history -o out {KEYS[0]} --as-of {{day}} --force --write {{to}}", ".zip"),
    "html": ("validate -o out --html {to}", ".html"),
    "report": ("report -o out --html {to}", ".html"),
    "matrix": (
        "matrix refresh --source-url {url} --listing-url {url} --max-retries 0 --force --to {to}",
        ".json",
    ),
    "plot": ("status -o out --plot {to}", ".svg"),
    "events": (f"collect -o out {_SELECT} -q --events {{to}}", ".jsonl"),
}

#: Written line by line as archives end, and not at once.
STREAMS = {"events"}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, RawSource]]:
    place = tmp_path_factory.mktemp("outputs")
    with contextlib.chdir(place), three_days() as source:
        words = f"collect -o out {_SELECT} -q --ingest".replace("{url}", source.url).split()
        assert run(*words).code == 0
        yield place, source


@pytest.fixture
def place(template: tuple[Path, RawSource], monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory beside the tree."""
    here = template[0] / "here"
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir()
    monkeypatch.chdir(template[0])
    return here


def write(template: tuple[Path, RawSource], name: str, to: object) -> Ended:
    text, _ = COMMANDS[name]
    fields = {"{url}": template[1].url, "{to}": str(to), "{day}": "2100-01-01", "+": " "}
    words = text.split()
    for field, value in fields.items():
        words = [word.replace(field, value) for word in words]
    return run(*words)


def refused(ended: Ended) -> None:
    assert ended.code in {1, 2, 3}, ended
    assert "rror: " in ended.err or "warning: " in ended.err, ended
    assert len(ended.err) < 2_000


@pytest.mark.parametrize("name", COMMANDS)
def test_a_target_that_cannot_be_a_file_is_refused(
    template: tuple[Path, RawSource], place: Path, name: str
) -> None:
    end = COMMANDS[name][1]
    (place / f"folder{end}").mkdir()
    (place / f"file{end}").write_text("precious")
    (place / f"loop{end}").symlink_to(place / f"loop{end}")
    before = digests(place)
    for target in (
        f"folder{end}", ".", "..", "/", f"no/folder/x{end}", f"file{end}/x{end}", f"loop{end}",
        f"{'a' * 300}{end}", f"folder{end}/", f"/proc/x{end}",
    ):  # fmt: skip
        refused(write(template, name, target if target == "/" else place / target))
        assert digests(place) == before, target
    assert "Traceback" not in write(template, name, "").err


@pytest.mark.parametrize("name", COMMANDS)
def test_a_long_name_is_written(template: tuple[Path, RawSource], place: Path, name: str) -> None:
    end = COMMANDS[name][1]
    for length in (252, 255):
        path = place / f"{'a' * (length - len(end))}{end}"
        assert write(template, name, path).code == 0
        assert path.stat().st_size
    assert len(list(place.iterdir())) == 2


@pytest.mark.parametrize("name", COMMANDS)
def test_links_at_temporary_names_are_not_followed(
    template: tuple[Path, RawSource], place: Path, name: str
) -> None:
    end = COMMANDS[name][1]
    victim = place / "victim"
    victim.write_text("precious")
    base = f"x{end}"
    for planted in (
        f".{base}.part", f"{base}.part", f"{base}.tmp", f".{base}.tmp", f"{base}~", f"{base}.new",
        ".crypto-lakehouse-0000000000000000.part",
    ):  # fmt: skip
        (place / planted).symlink_to(victim)
    before = digests(place)
    assert write(template, name, place / base).code == 0
    after = digests(place)
    assert after.pop(str(place / base))
    assert after == before


@pytest.mark.parametrize("name", COMMANDS)
def test_a_link_stays_a_link(template: tuple[Path, RawSource], place: Path, name: str) -> None:
    end = COMMANDS[name][1]
    (place / "deep").mkdir()
    file, link = place / f"deep/file{end}", place / f"link{end}"
    file.write_text("earlier")
    link.symlink_to(file)
    assert write(template, name, link).code == 0
    assert link.is_symlink()
    assert not file.is_symlink()
    assert file.read_bytes() != b"earlier"
    assert len(list((place / "deep").iterdir())) == 1


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"matrix", "html", "history"}))
def test_devices_and_pipes_stay_what_they_are(
    template: tuple[Path, RawSource], place: Path, name: str
) -> None:
    if COMMANDS[name][1] in {"", ".csv", ".jsonl"}:
        for device in ("/dev/null", "/dev/full"):
            ended = write(template, name, device)
            assert ended.code == 0 if device == "/dev/null" else ended.code, ended
            assert stat.S_ISCHR(Path(device).stat().st_mode)
    pipe = place / f"pipe{COMMANDS[name][1]}"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()), daemon=True)
    reader.start()
    ended = write(template, name, pipe)
    assert ended.code == 0, ended
    reader.join(30)
    assert got
    assert got[0]
    assert pipe.is_fifo()
    assert [path.name for path in place.iterdir()] == [pipe.name]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_link_to_a_device_stays_one(
    template: tuple[Path, RawSource], place: Path, name: str
) -> None:
    """Also of outputs whose name must end as no device's does."""
    for device, codes in (("/dev/null", {0}), ("/dev/full", {1, 2, 3})):
        link = place / f"{device[5:]}{COMMANDS[name][1]}"
        link.symlink_to(device)
        ended = write(template, name, link)
        assert ended.code in codes, ended
        assert stat.S_ISCHR(Path(device).stat().st_mode)
        assert str(link.readlink()) == device
        link.unlink()
    assert not list(place.iterdir())


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """As `ulimit -f`: the file system refuses what is larger, as a full one does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"events"}))
def test_what_does_not_fit_leaves_the_earlier_file(
    template: tuple[Path, RawSource], place: Path, name: str
) -> None:
    path = place / f"x{COMMANDS[name][1]}"
    path.write_text("earlier")
    with files_of_at_most(16):
        ended = write(template, name, path)
    assert ended.code, ended
    refused(ended)
    assert path.read_text() == "earlier"
    assert [each.name for each in place.iterdir()] == [path.name]


@pytest.fixture
def other_file_system(place: Path) -> Iterator[Path]:
    """A new directory on another file system than the working directory."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == place.stat().st_dev:
        pytest.skip("there is no other file system: /dev/shm is absent, or the same device")
    with TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_target_may_be_on_another_file_system(
    template: tuple[Path, RawSource], place: Path, other_file_system: Path, name: str
) -> None:
    path = other_file_system / f"x{COMMANDS[name][1]}"
    assert write(template, name, path).code == 0
    path.write_bytes(b"earlier")
    link = place / path.name
    link.symlink_to(path)
    assert write(template, name, link).code == 0
    assert link.is_symlink()
    assert path.read_bytes() != b"earlier"
    assert [each.name for each in other_file_system.iterdir()] == [path.name]
    assert [each.name for each in place.iterdir()] == [path.name]
