"""Files of a lake that block their reader or take all memory: each command ends with an error.

Pipes, devices, sockets and directories in place of a file; sparse files of 8 GiB, which take no
space on the disk; and compressed files that hold a thousand times their own size. The commands run
with an address space that is too small for any of them.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import resource
import shutil
import socket
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.attack.conftest import DAYS, Ended, run, three_days

from crypto_lakehouse.tables.iceberg import local_io
from crypto_lakehouse.tables.iceberg.avro_file import AvroError, check_blocks

LAKE = Path("out/.lakehouse/lake")
QUERY = ("query", "-o", "out", "SELECT count(*) FROM spot.klines")
#: Those that read every kind of file.
COMMANDS = (QUERY, ("ingest", "-o", "out"), ("lake", "relocate", "-o", "out"))

METADATA = {
    "metadata": "warehouse/spot/klines/metadata/00001-*.json",
    "manifest list": "warehouse/spot/klines/metadata/snap-*.avro",
    "manifest": "warehouse/spot/klines/metadata/*-m0.avro",
}
DATA = "warehouse/spot/klines/data/**/*.parquet"

#: More than a command needs, and less than any of the files has.
SPARSE = 8 << 30
BOMB = 1 << 30


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("files")
    with contextlib.chdir(place), three_days() as source:
        arguments = (
            "collect -o out --markets spot -s BTCUSDT -t klines -i 1h --discovery calendar -q "
            f"--start {DAYS[0]} --end {DAYS[-1]} --source-url {source.url} --ingest"
        )
        assert run(*arguments.split()).code == 0
    return place / "out"


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Let this process take 4 GiB of addresses more than it has."""
    (pages, *_) = Path("/proc/self/statm").read_text().split()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = int(pages) * resource.getpagesize() + (4 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def listening(path: Path) -> None:
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)


def folder(path: Path) -> None:
    path.mkdir()


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(SPARSE)


def restore(template: Path) -> None:
    shutil.rmtree("out", ignore_errors=True)
    shutil.copytree(template, "out")


def put(pattern: str, make: Callable[[Path], None]) -> None:
    (path,) = LAKE.glob(pattern)
    path.unlink()
    make(path)


def save(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def is_told(ended: Ended) -> bool:
    said = ended.err + ended.out
    return any(
        text in said
        for text in (
            "not a regular file",
            "MiB, and",
            "is not followed",
            "leads out of",
            "bytes instead of",
        )
    )


@pytest.mark.parametrize("kind", METADATA)
@pytest.mark.parametrize("make", [pipe, device, listening, folder, sparse])
def test_metadata_that_is_no_file_or_far_too_large_is_refused(
    template: Path, little_memory: None, kind: str, make: Callable[[Path], None]
) -> None:
    for command in COMMANDS:
        restore(template)
        put(METADATA[kind], make)
        ended = run(*command)
        # A sweep or another command may not need the file.
        assert is_told(ended) or (ended.code == 0 and command != QUERY), (command, ended)


@pytest.mark.parametrize("make", [pipe, device, listening, folder])
def test_a_data_file_that_is_no_file_is_refused_and_mended(
    template: Path, make: Callable[[Path], None]
) -> None:
    for command in COMMANDS:
        restore(template)
        put(DATA, make)
        ended = run(*command)
        assert is_told(ended) or command[0] != "query", (command, ended)
    restore(template)
    put(DATA, make)
    assert run("ingest", "-o", "out").code == 0
    ended = run(*QUERY)
    assert (ended.code, ended.out.split()[-1]) == (0, "72")


@pytest.mark.parametrize("what", [DATA, "warehouse/spot/klines/data", *METADATA.values()])
def test_nothing_is_read_where_a_link_leads(template: Path, tmp_path: Path, what: str) -> None:
    """Neither through a link to a file of the right bytes, nor through one to a folder."""
    commands = [QUERY, ("lake", "verify", "-o", "out")]
    if what in METADATA.values():  # there is nothing to compact in a table of one file
        commands.append(("lake", "compact", "-o", "out"))
    for command in commands:
        restore(template)
        (path,) = LAKE.glob(what)
        outside = tmp_path / f"{command[0]} {command[1]} {path.name}"
        path.rename(outside)
        path.symlink_to(outside)
        ended = run(*command)
        said = ended.err + ended.out
        assert ended.code != 0, (command, ended)
        assert "symbolic link" in said, (command, ended)
    if what == DATA:
        ended = run("ingest", "-o", "out")
        assert (ended.code, run(*QUERY).out.split()[-1]) == (0, "72")
        assert outside.is_file()


def test_compressed_metadata_is_bounded(template: Path, little_memory: None) -> None:
    restore(template)
    (path,) = LAKE.glob(METADATA["metadata"])
    packed = path.with_name(path.name.replace(".metadata.json", ".gz.metadata.json"))
    name = "/".join(packed.parts[-4:])
    with sqlite3.connect(LAKE / "catalog.db") as catalog:
        catalog.execute(
            "UPDATE iceberg_tables SET metadata_location = replace(metadata_location, ?, ?)",
            ("/" + "/".join(path.parts[-4:]), "/" + name),
        )
    catalog.close()
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert run(*QUERY).out.split()[-1] == "72"

    packed.write_bytes(gzip.compress(b" " * (1 << 20)) * (BOMB >> 20))
    for command in COMMANDS:
        ended = run(*command)
        assert is_told(ended), (command, ended)
    for data in (b"\x1f\x8b", b"no gzip", packed.read_bytes()[:50]):
        packed.write_bytes(data)
        assert "damaged" in run(*QUERY).err


def bomb(codec: bytes, pack: Callable[[bytes], bytes], size: int = 1 << 20) -> bytes:
    """An Avro file with 1,025 blocks of a MiB."""

    def number(value: int) -> bytes:
        value, out = value << 1, bytearray()
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        return bytes([*out, value])

    def text(data: bytes) -> bytes:
        return number(len(data)) + data

    head = number(2) + text(b"avro.codec") + text(codec) + text(b"avro.schema") + text(b'"long"')
    sync = bytes(16)
    block = number(size) + text(pack(bytes(size))) + sync
    return b"Obj\x01" + head + number(0) + sync + block * 1025


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize("kind", ["manifest list", "manifest"])
def test_compressed_manifests_are_bounded(template: Path, little_memory: None, kind: str) -> None:
    data = bomb(b"deflate", deflated)
    assert len(data) < 4 << 20
    for command in COMMANDS:
        restore(template)
        put(METADATA[kind], lambda path: save(path, data))
        ended = run(*command)
        relocated = "is not relocated" in ended.err and "256 MiB when" in ended.err
        assert is_told(ended) or relocated, (command, ended)


def test_blocks_of_every_codec_are_bounded() -> None:
    import bz2

    from zstandard import ZstdCompressor

    codecs: dict[bytes, Callable[[bytes], bytes]] = {
        b"null": bytes, b"deflate": deflated, b"bzip2": bz2.compress,
        b"zstandard": ZstdCompressor().compress,
    }  # fmt: skip
    for name, pack in codecs.items():
        small = bomb(name, pack, 10)
        assert check_blocks(small, 10 * 1025)
        assert not check_blocks(small, 10 * 1025 - 1)
        with pytest.raises(AvroError):
            check_blocks(small[:-1], 1 << 20)
    with pytest.raises(AvroError, match="compressed with `snappy`"):
        check_blocks(bomb(b"snappy", bytes, 10), 1 << 20)
    with pytest.raises(AvroError, match="damaged"):
        check_blocks(bomb(b"deflate", lambda _data: b"\xff" * 10, 10), 1 << 20)


JOURNALS: dict[str, Callable[[Path], object]] = {
    "pipe": pipe, "device": device, "socket": listening, "sparse": sparse, "folder": folder,
    "link": lambda path: path.symlink_to("/etc/passwd"),
    "nested": lambda path: path.write_text("[" * 100_000),
    "nested rows": lambda path: path.write_text(head_of(path) + '{"provenance": ' + "[" * 100_000),
    "long number": lambda path: path.write_text(head_of(path) + "9" * 100_000),
    "no text": lambda path: path.write_bytes(b"\xff\xfe\0" * 1000),
    "rows": lambda path: path.write_text(head_of(path) + '{"provenance": [1, null, "x"]}\n'),
    "row": lambda path: path.write_text(head_of(path) + '{"provenance": [{"archive": 1}]}\n'),
}  # fmt: skip


def head_of(path: Path) -> str:
    """A journal's first line, of the commit that the table has."""
    (metadata,) = LAKE.glob(METADATA["metadata"])
    (snapshot,) = json.loads(metadata.read_text())["snapshots"]
    commit = snapshot["summary"]["crypto-lakehouse.commit"]
    path.rename(path.with_name(f"{commit}.journal")) if path.exists() else None
    return json.dumps({"commit": path.stem, "table": "spot.klines"}) + "\n"


@pytest.mark.parametrize("kind", JOURNALS)
def test_a_journal_that_is_none_stops_no_command(
    template: Path, little_memory: None, kind: str
) -> None:
    for command in COMMANDS:
        restore(template)
        path = LAKE / "journal" / f"{'0' * 32}.journal"
        path.parent.mkdir(exist_ok=True)
        JOURNALS[kind](path)
        ended = run(*command)
        assert ended.code == 0, (command, ended)
        if command[0] == "ingest" and kind != "folder":
            assert not os.path.lexists(path)
    assert Path("/etc/passwd").exists()


def test_metadata_that_could_not_be_read_again_is_not_written(
    template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restore(template)
    (path,) = LAKE.glob(METADATA["metadata"])
    size = path.stat().st_size
    shutil.rmtree("out/.lakehouse/lake")
    with monkeypatch.context() as change:
        change.setattr(local_io, "MOST_BYTES", size - 500)
        ended = run("ingest", "-o", "out")
    assert ended.code == 1
    assert "lake expire" in ended.err
    assert run("ingest", "-o", "out").code == 0
