"""`verify`: its lines, its files, its repairs."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from tests.cli.conftest import KEY, Shell, Start, collect

from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.testing.faults import Status

SYMBOL = "币安人生USDT"
ALL = "13 archives checked: 13 ok, 0 damaged, 0 missing, 0 unproven, 0 unreadable\n"
GONE = KEY.replace("/1h/BTCUSDT-1h", "/4h/BTCUSDT-4h")
UNPROVEN = KEY.replace("/1h/BTCUSDT-1h", "/1d/BTCUSDT-1d")
UNREADABLE = KEY.replace("/1h/BTCUSDT-1h", "/8h/BTCUSDT-8h")


@pytest.fixture
def collected(shell: Shell, archive_server: ArchiveServer) -> Shell:
    """A shell in whose `out` the 13 archives of a day are."""
    assert shell(*collect(archive_server))[0] == 0
    return shell


@pytest.fixture
def harmed(collected: Shell, archive_server: ArchiveServer, tmp_path: Path) -> Path:
    """The same tree, with one archive of each bad state."""
    root = tmp_path / "out"
    (root / KEY).write_bytes(b"damaged")
    (root / GONE).unlink()
    (root / UNREADABLE).unlink()
    (root / UNREADABLE).symlink_to(root / UNREADABLE)
    stray = UNPROVEN.replace("07-15", "07-14")
    (root / stray).write_bytes(b"who knows")
    return root


def lines(text: str) -> dict[str, str]:
    """Key to mark."""
    return {line[2:]: line[0] for line in text.splitlines()}


def test_each_archive_has_its_mark(collected: Shell, harmed: Path) -> None:
    code, out, err = collected("verify", "-o", "out", "--combined", "-")
    assert code == 4
    marks = lines(out)
    assert len(marks) == 14
    assert [marks[key] for key in (KEY, GONE, UNREADABLE)] == ["*", "+", "!"]
    assert marks[UNPROVEN.replace("07-15", "07-14")] == "-"
    assert sorted(marks.values()).count("=") == 10
    assert list(marks) == sorted(marks, key=lambda key: key.rpartition("/")), "in order"
    assert "14 archives checked: 10 ok, 1 damaged, 1 missing, 1 unproven, 1 unreadable" in err


def test_marks_go_to_a_file(collected: Shell, tmp_path: Path) -> None:
    code, out, err = collected("verify", "-o", "out", "--combined", "marks.txt")
    assert (code, out, err) == (0, ALL, "")
    assert set(lines((tmp_path / "marks.txt").read_text()).values()) == {"="}


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="SHA256SUMS: no sha256sum here")
def test_digests_are_checked_by_a_tool_that_is_not_ours(
    collected: Shell, archive_server: ArchiveServer, tmp_path: Path
) -> None:
    more = ["-s", SYMBOL, "--date", "2025-11-15"]  # of two symbols, then
    assert collected(*collect(archive_server), *more)[0] == 0
    (tmp_path / "out" / KEY).write_bytes(b"damaged")
    assert collected("verify", "-o", "out", "--sums", "SHA256SUMS")[0] == 4
    sums = (tmp_path / "SHA256SUMS").read_text()
    assert KEY not in sums
    assert SYMBOL in sums
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "../SHA256SUMS"],
        cwd=tmp_path / "out",
        check=False,
        capture_output=True,
    )
    assert (checked.returncode, checked.stdout) == (0, b"")
    assert len(sums.splitlines()) == 13 - 1 + 2 * 13


def test_a_file_of_digests_of_a_part_says_so(collected: Shell, tmp_path: Path) -> None:
    arguments = ["verify", "-o", "out", "--sums", "S", "--sample", "3", "--seed", "x"]
    code, out, err = collected(*arguments)
    assert (code, out.startswith("3 archives checked: 3 ok")) == (0, True)
    assert "sample 3, --seed x" in err
    assert "the part that was verified, not the whole tree" in err
    part = (tmp_path / "S").read_text()
    collected(*arguments)
    assert (tmp_path / "S").read_text() == part
    assert len(part.splitlines()) == 3


def test_since_takes_what_was_written_since(collected: Shell) -> None:
    assert collected("verify", "-o", "out", "--since", "2020-01-01")[1] == ALL
    assert collected("verify", "-o", "out", "--since", "2999-01-01")[1].startswith("0 archives")


def test_a_repair_leaves_nothing_damaged(
    collected: Shell, archive_server: ArchiveServer, harmed: Path
) -> None:
    archive_server.clear()
    arguments = ["verify", "-o", "out", "--repair", "--source-url", archive_server.url]
    code, out, err = collected(*arguments)
    assert code == 3, "what is gone is for `collect`"
    assert "2 repaired, 0 not" in out
    assert "2 archives are fetched again" in err
    assert "1 missing archive is not fetched by --repair; run `collect`" in err
    asked = {record.path.removesuffix(".CHECKSUM") for record in archive_server.requests}
    assert asked == {KEY, UNREADABLE}
    collected(*collect(archive_server))
    code, _, err = collected(*arguments)
    assert (code, "by --repair" in err) == (0, False)


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_a_repair_from_a_source_that_is_down_says_so(
    collected: Shell, archive_server: ArchiveServer, tmp_path: Path, form: tuple[str, ...]
) -> None:
    assert collected(*collect(archive_server, "--date", "2025-07-14"))[0] == 0
    for path in (tmp_path / "out" / "data").rglob("*.zip"):
        path.write_bytes(b"damaged")
    archive_server.inject("*", Status(503), endless=True)
    command = ["verify", "-o", "out", "--repair", "--source-url", archive_server.url]
    code, out, err = collected(*command, "-j", "1", "--max-retries", "0", *form)
    assert code == 5
    said = json.loads(out)["repair"]["error"] if form else err.splitlines()[-1]
    assert "the source is unavailable: 20 archives in a row failed" in said


def test_what_is_not_repaired_is_named(
    collected: Shell, archive_server: ArchiveServer, tmp_path: Path
) -> None:
    (tmp_path / "out" / KEY).write_bytes(b"damaged")
    archive_server.remove(KEY)
    arguments = ["verify", "-o", "out", "--repair", "--source-url", archive_server.url]
    code, out, err = collected(*arguments)
    assert (code, "0 repaired, 1 not" in out) == (4, True)
    assert f"not repaired: {KEY}: " in err
    code, out, _ = collected(*arguments, "--json")
    repair = json.loads(out)["repair"]
    assert (code, repair["repaired"], repair["remaining"][0]["key"]) == (4, [], KEY)


def test_json_tells_of_quarantine(
    collected: Shell, archive_server: ArchiveServer, tmp_path: Path
) -> None:
    archive_server.put(f"{KEY}.CHECKSUM", b"0" * 64)
    collected(*collect(archive_server), "--force-redownload")
    code, out, _ = collected("verify", "-o", "out", "--json")
    found = json.loads(out)
    assert (code, found["quarantine"]["count"]) == (0, 1)
    assert found["quarantine"]["archives"][0]["key"] == KEY
    assert "1 in quarantine" in collected("verify", "-o", "out")[1]
    repaired = json.loads(collected("verify", "-o", "empty", "--repair", "--json")[1])
    assert repaired.keys() == {"error", "exit_code"}, "there is no such directory"
    (tmp_path / "empty").mkdir()
    repaired = json.loads(collected("verify", "-o", "empty", "--repair", "--json")[1])
    assert repaired["repair"] == {"repaired": [], "remaining": []}


def test_what_is_no_archive_of_the_publisher_cannot_be_fetched(
    collected: Shell, archive_server: ArchiveServer, tmp_path: Path
) -> None:
    folder = tmp_path / "out" / "data" / "mine"
    folder.mkdir()
    (folder / "my.zip").write_bytes(b"mine")
    (folder / "my.zip.CHECKSUM").write_bytes(b"0" * 64)
    segment = tmp_path / "out" / "rest" / "spot" / "my.jsonl.zst"
    segment.parent.mkdir(parents=True)
    segment.write_bytes(b"mine")
    segment.with_name("my.jsonl.zst.CHECKSUM").write_bytes(b"0" * 64)
    arguments = ["verify", "-o", "out", "--repair", "--source-url", archive_server.url]
    code, _, err = collected(*arguments)
    assert code == 4
    assert "data/mine/my.zip is not an archive of the publisher" in err
    assert "rest/spot/my.jsonl.zst is not an archive of the publisher; `fill --force" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--sample", "some"],
        ["--since", "tomorrow"],
        ["--combined", "-", "--json"],
        ["--sums", "nowhere/S"],
        ["--combined", "."],
    ],
)
def test_what_cannot_be_asked_is_said(collected: Shell, arguments: list[str]) -> None:
    code, out, err = collected("verify", "-o", "out", *arguments)
    assert (code, "checked" in out) == (2, False)
    assert err


def test_a_verification_that_fails_leaves_no_half_file(collected: Shell, tmp_path: Path) -> None:
    (tmp_path / "out" / ".lakehouse" / "ledger.sqlite").write_bytes(b"no database" * 100)
    code, _, err = collected("verify", "-o", "out", "--sums", "S", "--combined", "C")
    assert (code, "the ledger cannot be" in err) == (1, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def all_of(terminal: int) -> str:
    """What was written to a terminal whose other end is closed, and what a single read may cut."""
    shown = b""
    with closing(os.fdopen(terminal, "rb", buffering=0)) as end:
        while True:
            try:
                data = end.read(1 << 16)
            except OSError as error:
                assert error.errno == errno.EIO  # how Linux says that this was all
                return shown.decode()
            if not data:
                return shown.decode()
            shown += data


def test_a_terminal_sees_how_far_it_is(
    collected: Shell, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pty

    from crypto_lakehouse.cli.main import main

    (tmp_path / "out" / KEY).write_bytes(b"damaged")
    read, write = pty.openpty()
    with open(write, "w", encoding="utf-8") as terminal:  # noqa: PTH123
        monkeypatch.setattr("sys.stderr", terminal)
        with pytest.raises(SystemExit) as ended:
            main(["verify", "-o", "out"])
    shown = all_of(read)
    assert ended.value.code == 4
    assert f"damaged {KEY}" in shown.replace("\r\n", "")


def test_a_repair_without_a_source_asks_no_other_one(
    collected: Shell, archive_server: ArchiveServer, harmed: Path
) -> None:
    archive_server.clear()
    code, out, err = collected("verify", "-o", "out", "--repair")
    assert code == 2
    assert "1 damaged" in out, "what was found is printed nevertheless"
    assert f"--source-url: the archives in `out` came from `{archive_server.url}`" in err
    assert "fetched again" not in err, "nothing was fetched"
    assert archive_server.requests == []
    code, out, err = collected("verify", "-o", "out", "--repair", "--json")
    found = json.loads(out)
    assert (code, found["exit_code"], "repair" in found) == (2, 2, False)
    assert (found["totals"]["damaged"], f"error: {found['error']}\n" in err) == (1, True)
