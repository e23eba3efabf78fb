"""Commands of the command line, in this process, against a hostile source or tree."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.attack.raw_source import RawSource, kline_zip

from crypto_lakehouse.cli.main import _run

FOLDER = "data/spot/daily/klines/BTCUSDT/1h/"
DAYS = ("2025-07-10", "2025-07-11", "2025-07-12")
KEYS = [f"{FOLDER}BTCUSDT-1h-{day}.zip" for day in DAYS]

#: What a traceback, and the last line of the command line after one, contain.
_TRACES = ("Traceback (most recent call last)", "error: this is a fault in")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Ended]


def run(*arguments: object) -> Ended:
    """Run a command; it must not end with a traceback."""
    streams = [io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2)]
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        code = _run([str(argument) for argument in arguments])
    ended = Ended(code, *(stream.buffer.getvalue().decode() for stream in streams))
    for trace in _TRACES:
        assert trace not in ended.out + ended.err, ended
    return ended


def digests(root: Path) -> dict[str, str]:
    """Every file, folder and link below a directory, with what is in it."""
    found: dict[str, str] = {}
    for folder, names, files in os.walk(root):
        for name in (*names, *files):
            path = Path(folder, name)
            if path.is_symlink():
                found[str(path)] = f"-> {path.readlink()}"
            elif path.is_file():
                found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
            else:
                found[str(path)] = "folder"
    return found


@contextlib.contextmanager
def three_days() -> Iterator[RawSource]:
    """A source with three days of one series."""
    with RawSource() as raw:
        for key in KEYS:
            raw.publish(key, kline_zip(key))
        yield raw


@pytest.fixture
def source() -> Iterator[RawSource]:
    """A source with three days of one series."""
    with three_days() as raw:
        yield raw


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands run in an empty directory."""
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    return place
