"""Serving a folder."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.testing.server.test_listing import all_pages, listing
from tests.testing.server.test_objects import KEY, fetch

from crypto_lakehouse.testing import ArchiveServer, faults
from crypto_lakehouse.testing.objects.folder import Folder
from crypto_lakehouse.testing.objects.object_store import ObjectStore

SECRET = b"not for everyone"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a mirror's files, and a secret beside it."""
    (tmp_path / "secret.txt").write_bytes(SECRET)
    root = tmp_path / "mirror"
    (root / "data/spot/币安").mkdir(parents=True)
    (root / "data/spot/a.zip").write_bytes(b"0123456789")
    (root / "data/spot/币安/b c%20+.zip").write_bytes(b"chinese")
    (root / "data/spot/large.zip").write_bytes(os.urandom(2_500_000))
    (root / ".lakehouse").mkdir()
    (root / ".lakehouse/ledger").write_bytes(SECRET)
    os.utime(root / "data/spot/a.zip", (1_700_000_000.75,) * 2)
    return root


@pytest.fixture
def server(root: Path) -> Iterator[ArchiveServer]:
    """A server over the folder."""
    with ArchiveServer(root) as running:
        yield running


def test_files_are_served_byte_for_byte(server: ArchiveServer, root: Path) -> None:
    answer = fetch(server, "data/spot/a.zip")
    assert answer.body == b"0123456789"
    assert answer.headers["ETag"] == '"781e5e245d69b566979b86e28d23f2c7"'
    assert answer.headers["Last-Modified"] == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert fetch(server, "data/spot/a.zip", {"Range": "bytes=2-4"}).body == b"234"
    assert fetch(server, "data/spot/币安/b c%20+.zip").body == b"chinese"
    large = (root / "data/spot/large.zip").read_bytes()
    assert fetch(server, "data/spot/large.zip").body == large
    assert (
        fetch(server, "data/spot/large.zip", {"Range": "bytes=-1500000"}).body == large[-1500000:]
    )
    assert server.read("data/spot/large.zip") == large


def test_a_large_file_can_be_cut_and_flipped(server: ArchiveServer, root: Path) -> None:
    large = bytearray((root / "data/spot/large.zip").read_bytes())
    large[2_000_000] ^= 0xFF
    server.inject("*", faults.Flip(at=2_000_000))
    assert fetch(server, "data/spot/large.zip").body == large


def test_a_file_that_changes_is_another_object(server: ArchiveServer, root: Path) -> None:
    before = fetch(server, "data/spot/a.zip").headers["ETag"]
    (root / "data/spot/a.zip").write_bytes(b"another")
    answer = fetch(server, "data/spot/a.zip")
    assert answer.body == b"another"
    assert answer.headers["ETag"] != before
    (root / "data/spot/a.zip").unlink()
    assert fetch(server, "data/spot/a.zip").status == 404


def test_a_folder_makes_nothing_up_unless_asked(server: ArchiveServer, root: Path) -> None:
    assert fetch(server, KEY).status == 404
    both = ArchiveServer(root, generate=True)
    assert both.read("data/spot/a.zip") == b"0123456789"
    assert both.read(KEY) == ArchiveServer().read(KEY)


def test_a_file_comes_before_a_made_up_archive(root: Path) -> None:
    path = root / KEY
    path.parent.mkdir(parents=True)
    path.write_bytes(b"from the folder")
    with ArchiveServer(root, generate=True) as server:
        assert fetch(server, KEY).body == b"from the folder"
        page = listing(server, prefix=KEY)
        assert page.keys == [KEY, KEY + ".CHECKSUM"]
        assert page.contents[0]["Size"] == "15"


def test_neither_files_nor_made_up_archives(root: Path) -> None:
    server = ArchiveServer(generate=False)
    server.put("only.txt", b"this")
    assert server.read("only.txt") == b"this"
    with pytest.raises(KeyError):
        server.read(KEY)
    with server:
        assert listing(server).keys == ["only.txt"]


def test_a_folder_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ArchiveServer(tmp_path / "nowhere")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        ArchiveServer(tmp_path / "file")


def test_the_listing_has_the_files(server: ArchiveServer) -> None:
    keys = ["data/spot/a.zip", "data/spot/large.zip", "data/spot/币安/b c%20+.zip"]
    assert listing(server).keys == keys
    page = listing(server, prefix="data/spot/", delimiter="/")
    assert (page.keys, page.prefixes) == (keys[:2], ["data/spot/币安/"])
    assert page.contents[0] == {
        "Key": "data/spot/a.zip",
        "LastModified": "2023-11-14T22:13:20.000Z",
        "ETag": '"781e5e245d69b566979b86e28d23f2c7"',
        "Size": "10",
        "StorageClass": "STANDARD",
    }
    assert [item.keys[0] for item in all_pages(server, max_keys=1)] == keys
    assert listing(server, prefix="data/spot/a.zip/").keys == []


def test_what_vanishes_while_it_is_served_was_not_there(
    server: ArchiveServer, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ObjectStore(Folder(root), None).entry("data/spot/gone.zip") is None
    assert Folder(root).children("data/gone/") == []
    monkeypatch.setattr(Folder, "find", lambda *_: root / "data/gone.zip")
    assert fetch(server, "data/gone.zip").status == 404


def raw_status(server: ArchiveServer, target: str) -> tuple[int, bytes]:
    """Send a request target as it stands, as no well-behaved client would."""
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port or 0), timeout=200) as client:
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while piece := client.recv(65536):
            answer += piece
    return int(answer.split(b" ", 2)[1]), answer


@pytest.mark.parametrize(
    "target",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/data/../../secret.txt",
        "/data/%2e%2e%2f%2e%2e%2fsecret.txt",
        "/..%5csecret.txt",
        "/data.binance.vision/../secret.txt",
        "/data/spot/./a.zip",
        "/data/spot//a.zip",
        "//data/spot/a.zip",
        "/data/spot",
        "/data/spot/",
        "/.lakehouse/ledger",
        "/%00",
        "/data/spot/a.zip%00",
        "/c:/windows",
        "/%ff%fe",
    ],
)
def test_nothing_outside_the_folder_is_served(server: ArchiveServer, target: str) -> None:
    status, answer = raw_status(server, target)
    assert status in {400, 404}
    assert SECRET not in answer


def test_links_are_followed_inside_the_folder_only(root: Path) -> None:
    spot = root / "data/spot"
    (spot / "inside.zip").symlink_to("a.zip")
    (spot / "folder").symlink_to("币安", target_is_directory=True)
    (spot / "outside.txt").symlink_to(root.parent / "secret.txt")
    (spot / "above").symlink_to(root.parent, target_is_directory=True)
    (spot / "broken").symlink_to("nowhere")
    (spot / "self").symlink_to("self")
    (spot / "币安/around").symlink_to(root / "data", target_is_directory=True)
    with ArchiveServer(root) as server:
        assert fetch(server, "data/spot/inside.zip").body == b"0123456789"
        assert fetch(server, "data/spot/folder/b c%20+.zip").body == b"chinese"
        for name in ("outside.txt", "above/secret.txt", "broken", "self"):
            assert fetch(server, f"data/spot/{name}").status == 404
        assert listing(server, prefix="data/spot/").keys == [
            "data/spot/a.zip",
            "data/spot/folder/b c%20+.zip",
            "data/spot/inside.zip",
            "data/spot/large.zip",
            "data/spot/币安/b c%20+.zip",
        ]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_bytes(b"")
        (tmp_path / name / "to").symlink_to(tmp_path / other, target_is_directory=True)
    folder = Folder(tmp_path)
    assert folder.children("a/to/") == ["x"]
    with ArchiveServer(tmp_path) as server:
        assert listing(server).keys == ["a/to/x", "a/x", "b/to/x", "b/x"]
