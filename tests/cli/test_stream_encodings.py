"""Standard output whose encoding lacks what is to be shown: symbols, and paths that are bytes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from rich.cells import cell_len

from crypto_lakehouse.cli.main import main
from crypto_lakehouse.cli.query_output import write_rows
from crypto_lakehouse.cli.render import print_table

NAME = "caf\u00e9-\u2192-\u65e5"

#: What is written of NAME in an encoding.
SHOWN = {
    "ascii": rb"caf\xe9-\u2192-\u65e5",
    "cp1252": NAME.encode("cp1252", "backslashreplace"),
    "utf-8": NAME.encode(),
}


@pytest.mark.parametrize("encoding", SHOWN)
def test_symbols_that_standard_output_cannot_encode_are_escaped(encoding: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "crypto_lakehouse", "config", "show", "-o", NAME],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "200"},
    )
    assert b"Traceback" not in ended.stderr
    assert SHOWN[encoding] in ended.stdout


@pytest.mark.parametrize("encoding", SHOWN)
def test_columns_stay_aligned_where_symbols_are_escaped(
    monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding, "visible")
    monkeypatch.setattr("sys.stdout", stream)
    print_table("t", ("name", "n"), [(NAME, 1), ("a", 2)])
    stream.flush()
    rows = stream.buffer.getvalue().decode(encoding).splitlines()[-2:]
    assert rows[0].startswith(f" {SHOWN[encoding].decode(encoding)} ")
    assert len({cell_len(row.rstrip()) for row in rows}) == 1


@pytest.mark.parametrize("encoding", SHOWN)
def test_a_table_of_a_query_is_in_the_encoding_of_standard_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    monkeypatch.chdir(tmp_path)
    stream = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr("sys.stdout", stream)
    relation = duckdb.sql(f"SELECT '{NAME}' AS \"{NAME}\", 1 AS n UNION ALL SELECT 'a', 2")
    write_rows(relation, "table", None)
    written = stream.buffer.getvalue()
    head, first, second = written.decode(encoding).splitlines()
    assert [line.encode(encoding).startswith(SHOWN[encoding]) for line in (head, first)] == [
        True
    ] * 2
    assert len({cell_len(line) for line in (head, first, second)}) == 1
    write_rows(relation, "table", "n.txt")
    assert NAME in Path("n.txt").read_text(encoding="utf-8")
    write_rows(relation, "csv", None)
    assert stream.buffer.getvalue().removeprefix(written).decode("utf-8").count(NAME) == 2


#: A directory whose name is not UTF-8.
BYTES = os.fsdecode(b"bad\xff")

COMMANDS = {
    "status": [],
    "verify": [],
    "validate": [],
    "ingest": [],
    "query": ["SELECT 1"],
    "lake tables": [],
    "plan": ["-s", "BTCUSDT", "--config", f"{BYTES}.toml"],
    "collect": ["--config", f"{BYTES}.toml"],
    "config show": [],
    "matrix show": [f"{BYTES}.json"],
}


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("exists", [True, False], ids=["there", "not there"])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_path_that_is_not_utf8_is_shown_with_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, exists: bool, encoding: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if exists:
        Path(BYTES).mkdir()
    output = [] if "matrix" in name else ["-o", BYTES]
    streams = [io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2)]
    monkeypatch.setattr("sys.stdout", streams[0])
    monkeypatch.setattr("sys.stderr", streams[1])
    with pytest.raises(SystemExit):
        main([*name.split(), *output, *COMMANDS[name]])
    said = b"".join(stream.buffer.getvalue() for stream in streams)
    shown = [text[:4] for text in said.split(b"bad")[1:]]
    is_silent = exists and name in ("verify", "validate")  # of the path
    assert set(shown) == (set() if is_silent else {rb"\xff"})
