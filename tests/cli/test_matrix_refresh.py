"""`matrix`, `matrix refresh` and `matrix diff`, run as a person or a script would."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.cli.conftest import Shell

from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.testing import ArchiveServer, faults

NEW_KEY = "data/spot/daily/klines/NEWUSDT/1d/NEWUSDT-1d-2025-07-15.zip"
SHIPPED = str(Path(__file__).parents[2] / "matrix" / "binance.json")


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    """A small source: two symbols of spot klines."""
    with ArchiveServer(generate=False) as small:
        for partition in ("daily", "monthly"):
            for symbol in ("BTCUSDT", "ETHBTC"):
                small.put(f"data/spot/{partition}/klines/{symbol}/1d/object.zip", b"")
        yield small


def refresh(server: ArchiveServer, *more: str) -> list[str]:
    return ["matrix", "refresh", "--source-url", server.url, "--max-retries", "0", *more]


@pytest.mark.parametrize(
    "arguments", [(), ("--check",), (SHIPPED,), (SHIPPED, "--check"), ("--check", SHIPPED)]
)
def test_a_matrix_is_shown_or_checked_without_a_word_for_it(
    shell: Shell, arguments: tuple[str, ...]
) -> None:
    code, out, err = shell("matrix", *arguments)
    assert (code, err) == (0, "")
    assert ("good, 27 rows" in out) == ("--check" in arguments)
    assert ("premiumIndexKlines" in out) == ("--check" not in arguments)
    assert shell("matrix", "show", *arguments) == (code, out, err)


def test_any_other_word_is_a_file(shell: Shell, tmp_path: Path) -> None:
    code, _, err = shell("matrix", "refreshed.json")
    assert code == 2
    assert "invalid matrix `refreshed.json`" in err
    (tmp_path / "refresh").write_text(Path(SHIPPED).read_text(encoding="utf-8"))
    code, out, _ = shell("matrix", "./refresh", "--check")
    assert (code, out) == (0, "./refresh: good, 27 rows\n")
    code, _, err = shell("matrix", "--chekc")
    assert code == 2
    assert "--chekc" in err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ((), ("refresh", "diff", "[FILE] [--check]", "Examples:")),
        (("show",), ("--check", "Examples:")),
        (("refresh",), ("--source-url", "--listing-url", "--matrix", "--to", "--force", "--json")),
        (("diff",), ("A B", "--json")),
    ],
)
def test_every_command_has_help(
    shell: Shell, command: tuple[str, ...], words: tuple[str, ...]
) -> None:
    code, out, _ = shell("matrix", *command, "--help")
    assert code == 0
    assert f"Usage: {' '.join(('crypto-lakehouse', 'matrix', *command))}" in out
    for word in words:
        assert word in out
    assert shell("matrix", *command, "-h") == (0, out, "")


def test_a_refresh_writes_a_dated_matrix(
    shell: Shell, server: ArchiveServer, tmp_path: Path
) -> None:
    code, out, err = shell(*refresh(server))
    today = datetime.now(UTC).date()
    name = next(path.name for path in tmp_path.iterdir())
    assert code == 0
    assert re.fullmatch(r"binance-\d{4}-\d\d-\d\d\.json", name)
    row = load_matrix(name).rows[0]
    assert row.symbols == ("BTCUSDT", "ETHBTC")
    assert load_matrix(name).observed in (today, datetime.now(UTC).date())
    assert f"{name} is written, " in out
    assert re.search(r"spot +│ klines +│ 2 +│ 2 +│ 2", out)
    assert "differences from binance.json (shipped)" in out
    assert "note: spot trades daily: the source has no folder" in err
    assert "note" not in out
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_refresh_does_not_overwrite(shell: Shell, server: ArchiveServer, tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text("mine")
    code, out, err = shell(*refresh(server, "--to", "m.json"))
    assert (code, out) == (2, "")
    assert "exists already" in err
    assert server.requests == [], "it says so before it asks anything"
    assert (tmp_path / "m.json").read_text() == "mine"
    code, _, _ = shell(*refresh(server, "--to", "m.json", "--force"))
    assert code == 0
    assert load_matrix("m.json").rows[0].symbols == ("BTCUSDT", "ETHBTC")


def test_a_refresh_can_be_read_by_machines(shell: Shell, server: ArchiveServer) -> None:
    shell(*refresh(server, "--to", "first.json"))
    server.publish(NEW_KEY, b"")
    code, out, _ = shell(*refresh(server, "--matrix", "first.json", "--to", "m.json", "--json"))
    assert code == 0
    result = json.loads(out)
    assert set(result) == {"file", "observed", "folders_listed", "rows", "notes", "changes"}
    assert result["file"] == "m.json"
    assert result["folders_listed"] == 11
    assert result["rows"][0] == {
        "market": "spot", "data_type": "klines", "symbols": 3, "daily": 3, "monthly": 2,
    }  # fmt: skip
    assert result["changes"] == [
        {
            "change": "added", "what": "symbol", "market": "spot", "data_type": "klines",
            "name": "NEWUSDT",
        }
    ]  # fmt: skip
    assert any("spot trades daily" in note for note in result["notes"])


def test_a_refresh_that_cannot_list_everything_writes_nothing(
    shell: Shell, server: ArchiveServer, tmp_path: Path
) -> None:
    server.inject("list:data/spot/monthly/klines/", faults.Status(503), endless=True)
    code, out, err = shell(*refresh(server, "--to", "m.json"))
    assert (code, out) == (5, "")
    assert "`data/spot/monthly/klines/` cannot be listed" in err
    assert list(tmp_path.iterdir()) == []


def test_a_source_without_a_listing_ends_with_5(shell: Shell, tmp_path: Path) -> None:
    with ArchiveServer(generate=False) as empty:
        code, _, err = shell(*refresh(empty))
    assert code == 5
    assert "cannot be listed" in err
    assert list(tmp_path.iterdir()) == []


def test_retries_are_told(shell: Shell, server: ArchiveServer) -> None:
    server.inject("list:data/spot/", faults.Status(503, retry_after="0"))
    code, _, err = shell(*refresh(server, "--max-retries", "1"))
    assert code == 0
    assert re.search(r"retry 1 in 0\.\d s", err)


def test_options_are_checked_like_configuration(shell: Shell) -> None:
    code, _, err = shell("matrix", "refresh", "--source-url", "mirror", "-j", "many")
    assert code == 2
    assert "$.source_url" in err or "--max-parallel-downloads" in err


def test_a_new_symbol_shows_between_two_refreshes(shell: Shell, server: ArchiveServer) -> None:
    shell(*refresh(server, "--to", "a.json"))
    server.publish(NEW_KEY, b"")
    shell(*refresh(server, "--to", "b.json"))
    assert shell("matrix", "diff", "a.json", "b.json") == (0, "+ spot klines NEWUSDT\n", "")
    assert shell("matrix", "diff", "b.json", "a.json") == (0, "- spot klines NEWUSDT\n", "")
    code, out, _ = shell("matrix", "diff", "a.json", "b.json", "--json")
    assert code == 0
    assert json.loads(out)["changes"][0]["name"] == "NEWUSDT"
    code, out, err = shell("matrix", "diff", "a.json", "a.json")
    assert (code, out, err) == (0, "", "nothing differs\n")


def test_a_diff_wants_two_matrices(shell: Shell) -> None:
    assert shell("matrix", "diff", SHIPPED)[0] == 2
    code, _, err = shell("matrix", "diff", SHIPPED, "absent.json")
    assert code == 2
    assert "invalid matrix `absent.json`" in err


def test_a_diff_tells_what_it_corrects(shell: Shell) -> None:
    older = Path(__file__).parents[1] / "data" / "matrices"
    path = min(older.rglob("*.json"))
    code, _, err = shell("matrix", "diff", SHIPPED, str(path))
    assert code == 0
    assert "corrected: " in err


def test_a_refreshed_matrix_gives_a_pattern_its_symbols(
    shell: Shell, server: ArchiveServer
) -> None:
    shell(*refresh(server, "--to", "m.json"))
    code, out, _ = shell("plan", "--matrix", "m.json", "-s", "*USDT", "--markets", "spot",
                         "-t", "klines", "-i", "1d", "--discovery", "calendar",
                         "--date", "2025-07-15", "--format", "keys")  # fmt: skip
    assert code == 0
    assert out == "data/spot/daily/klines/BTCUSDT/1d/BTCUSDT-1d-2025-07-15.zip\n"


def test_a_terminal_shows_how_far_it_is(server: ArchiveServer, tmp_path: Path) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "crypto_lakehouse", *refresh(server)],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=slave,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "160"},
    )  # fmt: skip
    os.close(slave)
    chunks = []
    while True:
        try:
            chunk = os.read(master, 65_536)
        except OSError:
            break
        chunks.append(chunk)
        if not chunk:
            break
    os.close(master)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"is written" in out
    assert re.search(rb"10/10", b"".join(chunks))
