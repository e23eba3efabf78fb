"""Hostile zips: none is read as another one would be, and none fills the memory.

Every zip is made byte by byte. Its sidecar is right, so that only the zip itself can be refused.
The commands run in processes of their own, whose greatest memory is measured.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.attack.raw_source import RawSource, kline_zip, sidecar_of
from tests.attack.raw_zip import Fields, end64, raw_deflate, raw_zip

FOLDER = "data/spot/daily/klines/BTCUSDT/1h/"
FIRST = date(2024, 1, 1)

#: The commands take 70 to 210 MiB; what the largest zip holds would take twice this.
MOST_MIB = 400

#: The contents of the largest bombs.
BOMB_BYTES = 800 << 20

_MEASURED = """
import sys
from crypto_lakehouse.cli.main import _run
code = _run(sys.argv[1:])
with open("/proc/self/status") as status:
    print([line for line in status if line.startswith("VmHWM")][0], file=sys.stderr)
sys.exit(code)
"""

Change = Callable[[Fields], Fields]


def said(**fields: Any) -> Change:
    return lambda good: replace(good, **fields)


def holding(make: Callable[[], tuple[bytes, int, int]], **fields: Any) -> Change:
    """A zip with another content: its compressed form, its size and its CRC."""

    def change(good: Fields) -> Fields:
        packed, size, crc = make()
        return replace(good, packed=packed, size=size, crc=crc, **fields)

    return change


@cache
def zeros() -> tuple[bytes, int, int]:
    """A mebibyte of zeros again and again, which costs no time to compress."""
    piece = bytes(1 << 20)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    once = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    times = BOMB_BYTES >> 20
    crc = 0
    for _ in range(times):
        crc = zlib.crc32(piece, crc)
    return once * times + raw_deflate(b""), times << 20, crc


def text(content: bytes) -> tuple[bytes, int, int]:
    return raw_deflate(content), len(content), zlib.crc32(content)


def sizes64(size: int, packed: int) -> bytes:
    return b"\1\0\x10\0" + size.to_bytes(8, "little") + packed.to_bytes(8, "little")


#: What is done to a good zip; the archive is refused.
REFUSED: dict[str, Change] = {
    "a bomb": holding(zeros),
    "a bomb that says it is small": holding(zeros, entry_size=2_000, local_size=2_000),
    "a bomb that says it is large": holding(
        zeros, entry_size=0xFFFFFFFE, entry_packed=0xFFFFFFFE, local_size=0xFFFFFFFE
    ),
    "a bomb in zip64": holding(
        zeros, entry_size=0xFFFFFFFF, entry_packed=0xFFFFFFFF, extra=sizes64(2_000, 2**62)
    ),
    "2^64 bytes, it says": said(
        entry_size=0xFFFFFFFF, entry_packed=0xFFFFFFFF, extra=sizes64(2**64 - 1, 2**64 - 1)
    ),
    "more than there is": said(entry_packed=0xFFFFFFF0),
    "less than there is": said(entry_packed=9),
    "no bytes, it says": said(entry_packed=0, entry_size=0),
    "one byte less": lambda good: replace(good, entry_size=good.size - 1),
    "one byte more": lambda good: replace(good, entry_size=good.size + 1),
    "another CRC": lambda good: replace(good, crc=good.crc ^ 1),
    "encrypted": said(flags=0x1),
    "encrypted strongly": said(flags=0x41),
    "patched data": said(flags=0x20),
    "masked headers": said(flags=0x2041),
    "bzip2": said(method=12),
    "lzma": said(method=14),
    "zstandard": said(method=93),
    "deflate64": said(method=9),
    "an unknown method": said(method=0xFFFF),
    "not compressed, it says": said(method=0),
    "another method at the member": said(local_method=0),
    "another name at the member": said(local_name=b"evil.csv"),
    "two members": said(times=2),
    "1,000 members that overlap": said(times=1_000),
    "a million members": said(times=1_000_000, listed=0xFFFF),
    "none, it says": said(times=0),
    "a nested zip": lambda good: holding(lambda: text(raw_zip(good)))(good),
    "a name of 65,000 letters": said(name=b"a" * 65_000),
    "a parent": said(name=b"../../evil.csv"),
    "an absolute name": said(name=b"/etc/evil.csv"),
    "a name in UTF-8 that is none": said(name=b"\xff\xfe.csv", flags=0x800),
    "a folder": lambda good: replace(good, name=good.name + b"/"),
    "more at the beginning": said(before=b"evil"),
    "an offset beyond the end": said(offset=0xFFFFFFF0),
    "a directory beyond the end": said(directory_offset=0xFFFFFFF0),
    "a directory of 4 GiB": said(directory_bytes=0xFFFFFFF0),
    "a directory of zip64 that lies": said(end64=end64(1, 2**63, 2**63, 2**62)),
    "a deflate stream without an end": lambda good: replace(good, packed=good.packed[:-9]),
    "a distance before the beginning": said(packed=b"\x4b\x04\x22\x00\xff\xff" * 9),
    "blocks without content for ever": lambda good: replace(
        good, packed=b"\0\0\0\xff\xff" * 100_000 + good.packed, entry_size=9
    ),
    "an extra field that breaks off": said(extra=b"\1\0\xff\xff", entry_size=0xFFFFFFFF),
    "nothing": said(packed=b"", size=0, crc=0),
    "one line of 200 MB": holding(lambda: _long_line(200 << 20)),
    "empty lines": holding(lambda: text(b"\n" * 1_000_000)),
    "fields without end": holding(lambda: text(b"1," * 1_000_000)),
    "quotes": holding(lambda: text(b'"' * 1_000_000)),
    "carriage returns": holding(lambda: text(b"1\r" * 1_000_000)),
}  # fmt: skip

#: What is unusual, and read as any other zip.
GOOD: dict[str, Change] = {
    "as it is": lambda good: good,
    "sizes behind the member": said(flags=0x8, local_size=0),
    "another disk": said(disk=3, listed=9),
    "a comment": said(comment=b"evil" * 9_000),
    "an unknown extra field": said(extra=b"\xfe\xca\4\0evil"),
    "sizes of zip64": lambda good: replace(
        good, entry_size=0xFFFFFFFF, entry_packed=0xFFFFFFFF,
        extra=sizes64(good.size, len(good.packed)),
    ),
    "blocks without content": lambda good: replace(
        good, packed=b"\0\0\0\xff\xff" * 100 + good.packed
    ),
}  # fmt: skip


def _long_line(size: int) -> tuple[bytes, int, int]:
    """A line that compresses to a hundredth of its size, so that it is not taken for a bomb."""
    piece = b"1234567890" * 100 + bytes(range(48, 58)) * 6
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    once = packer.compress(piece * 100) + packer.flush(zlib.Z_FULL_FLUSH)
    times = size // len(piece * 100)
    crc = 0
    for _ in range(times):
        crc = zlib.crc32(piece * 100, crc)
    return once * times + raw_deflate(b""), times * len(piece * 100), crc


def key_of(number: int) -> str:
    return f"{FOLDER}BTCUSDT-1h-{FIRST + timedelta(days=number)}.zip"


CASES = {**REFUSED, **GOOD}
KEYS = {name: key_of(number) for number, name in enumerate(CASES)}
DAYS = (str(FIRST), str(FIRST + timedelta(days=len(CASES) - 1)))


def bodies() -> dict[str, bytes]:
    made = {}
    for name, key in KEYS.items():
        good = Fields.of(f"{key[len(FOLDER) : -4]}.csv", _rows_of(key))
        made[key] = raw_zip(CASES[name](good))
    return made


def _rows_of(key: str) -> bytes:
    import io
    import zipfile

    with zipfile.ZipFile(io.BytesIO(kline_zip(key))) as archive:
        return archive.read(archive.infolist()[0])


@dataclass(frozen=True)
class Run:
    """How a command ended: its exit code, its report, what it wrote, and its greatest memory."""

    code: int
    report: Any
    text: str
    mib: float

    @property
    def problems(self) -> dict[str, str]:
        return {item["key"]: json.dumps(item) for item in self.report["problems"]}


def measured(*arguments: object) -> Run:
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, *map(str, arguments)], check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert "MemoryError" not in done.stderr
    peak = done.stderr.rstrip().rpartition("\n")[2].split()
    assert peak[0] == "VmHWM:"
    assert peak[2] == "kB"
    return Run(done.returncode, json.loads(done.stdout), done.stderr, int(peak[1]) / 1024)


@pytest.fixture(scope="module")
def made() -> dict[str, bytes]:
    return bodies()


@pytest.fixture(scope="module")
def collected(
    made: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Run, Path]]:
    root = tmp_path_factory.mktemp("collected") / "out"
    with RawSource() as source:
        for key, body in made.items():
            source.publish(key, body)
        run = measured(
            "collect", "-o", root, "--markets", "spot", "-s", "BTCUSDT", "-t", "klines", "-i",
            "1h", "--start", DAYS[0], "--end", DAYS[1], "--source-url", source.url,
            "--discovery", "calendar", "--partitions", "daily", "--max-retries", "0", "--json",
            "-q",
        )  # fmt: skip
        yield run, root


@pytest.fixture(scope="module", params=["ingest", "validate"])
def read(
    request: pytest.FixtureRequest,
    made: dict[str, bytes],
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    """A tree that has all of them, each with its sidecar, is read."""
    root = tmp_path_factory.mktemp("read")
    for key, body in made.items():
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        path.with_name(f"{path.name}.CHECKSUM").write_bytes(sidecar_of(body, key))
    return measured(request.param, "-o", root, "--json")


def test_memory_does_not_follow_what_zips_hold(collected: tuple[Run, Path], read: Run) -> None:
    assert collected[0].mib < MOST_MIB
    assert read.mib < MOST_MIB


@pytest.mark.parametrize("name", CASES)
def test_what_is_collected(collected: tuple[Run, Path], name: str) -> None:
    run, root = collected
    path = root / KEYS[name]
    is_readable = name in GOOD or name in _ROWS_ALONE
    assert path.exists() == is_readable
    assert (KEYS[name] in run.problems) == (not is_readable)
    if not is_readable:
        assert '"corrupt"' in run.problems[KEYS[name]]


@pytest.mark.parametrize("name", CASES)
def test_what_is_read(read: Run, name: str) -> None:
    assert (KEYS[name] in read.problems) == (name in REFUSED)


#: Their zips are good; only their rows are not.
_ROWS_ALONE = {
    "a nested zip", "one line of 200 MB", "empty lines", "fields without end", "quotes",
    "carriage returns",
}  # fmt: skip
