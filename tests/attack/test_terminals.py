"""Text from outside on a real terminal: whatever it holds, the terminal obeys none of it.

The text comes from rows, headers, names of files, answers, listings, sidecars, the ledger,
configurations, matrices and arguments; each command runs with a pseudo-terminal as its standard
output and standard error.
"""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.attack.conftest import DAYS, FOLDER, KEYS, run
from tests.attack.raw_source import RawSource, answer, kline_zip, sidecar_of
from tests.attack.test_answers import redirect, sends

from crypto_lakehouse.cli.main import main

#: An OSC, a bell, C1, a CSI with a number of its own, a DCS, a backspace, direction, zero width.
HOSTILE = (
    "\x1b]0;owned\x07\x9b2J\x1b[6666;6666H\x1bPq\x1b\\\x08\x0e\u202e\u2066\u200f\u200b\u2060\ufeff"
)

#: What a name of a file may be: no slash, no NUL.
NAME = HOSTILE.replace("/", "")

#: What may be in a header or a reason phrase.
LATIN = HOSTILE[: HOSTILE.index("\u202e")]

#: All that is none of rich's own sequences, which are colours and movements of the cursor.
_FOREIGN = re.compile(
    r"\x1b(?!\[[0-9;?]*[A-Za-z])|\x1b\[6666|[\x07\x08\x0e\x80-\x9f\u200b-\u200f\u202a-\u202e"
    r"\u2060-\u2069\ufeff]"
)

_SELECT = (
    f"--markets spot -s BTCUSDT -t klines -i 1h --start {DAYS[0]} --end {DAYS[-1]} "
    "--max-retries 0 --discovery"
)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run a command on a terminal, and return all that it wrote."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def on_terminal(*arguments: object) -> str:
        master, slave = pty.openpty()
        chunks: list[bytes] = []
        reader = threading.Thread(target=_drain, args=(master, chunks))
        reader.start()
        with os.fdopen(slave, "w", encoding="utf-8") as terminal, monkeypatch.context() as patch:
            patch.setattr("sys.stdout", terminal)
            patch.setattr("sys.stderr", terminal)
            with pytest.raises(SystemExit):
                main([str(argument) for argument in arguments])
        reader.join()
        os.close(master)
        text = b"".join(chunks).decode()
        assert "Traceback" not in text
        found = _FOREIGN.search(text)
        assert found is None, (arguments, text[max(0, found.start() - 80) : found.end() + 20])
        return text

    return on_terminal


def _drain(master: int, chunks: list[bytes]) -> None:
    while True:
        try:
            chunk = os.read(master, 65_536)
        except OSError:  # Linux's end of the file
            return
        chunks.append(chunk)


def collected(source: RawSource, listing: str = "calendar") -> list[str]:
    return ["collect", "-o", "out", *_SELECT.split(), listing, "--source-url", source.url]


def listed(source: RawSource) -> list[str]:
    return ["--listing-url", source.url, "--source-url", source.url, "--max-retries", "0"]


def put(key: str, body: bytes) -> None:
    path = Path("out", key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    path.with_name(f"{path.name}.CHECKSUM").write_bytes(sidecar_of(body, key))


ROWS = {
    "a value": [f"1752105600000000,{HOSTILE},1,1,1,1,1752109199999999,1,1,1,1,0"],
    "a time": [f"{HOSTILE},1,1,1,1,1,1,1,1,1,1,0"],
    "a header": [f"open_time,open,{HOSTILE}", "1,2,3"],
    "a header alone": [HOSTILE],
    "a further field": [f"1752105600000000,1,1,1,1,1,1752109199999999,1,1,1,1,0,{HOSTILE}"],
}


@pytest.mark.parametrize("name", ROWS)
def test_rows(here: Path, shown: Callable[..., str], name: str) -> None:
    put(KEYS[0], kline_zip(KEYS[0], ROWS[name]))
    put(KEYS[1], kline_zip(KEYS[1]))
    for text in ("ingest -o out", "validate -o out", "status -o out", "ingest -o out --exact"):
        shown(*text.split())
    shown("query", "-o", "out", "SELECT * FROM lakehouse.archives")


def test_the_name_of_a_member(source: RawSource, here: Path, shown: Callable[..., str]) -> None:
    body = kline_zip(KEYS[0], member=f"{NAME}.csv")
    source.publish(KEYS[0], body)
    shown(*collected(source))
    put(KEYS[0], body)
    for text in ("ingest -o out", "validate -o out", "verify -o out"):
        shown(*text.split())


ANSWERS = {
    "a reason": answer(b"", f"500 {LATIN}"),
    "a reason of 404": answer(b"", f"404 {LATIN}"),
    "a body of an error": answer(HOSTILE.encode(), "403 Forbidden"),
    "a redirect": redirect(f"http://evil.invalid/{LATIN}"),
    "a redirect to no URL": redirect(LATIN),
    "a header": answer(b"x", "200 OK", f"X-Evil: {LATIN}"),
    "an ETag": answer(kline_zip(KEYS[0]), "200 OK", f'ETag: "{LATIN}"'),
    "a length": answer(b"", "200 OK", length=LATIN),
    "a range": answer(b"x", "206 Partial", f"Content-Range: {LATIN}"),
    "a wait": answer(b"", "503 Busy", f"Retry-After: {LATIN}"),
    "a coding": answer(b"x", "200 OK", f"Transfer-Encoding: {LATIN}", length=""),
    "no head": HOSTILE.encode() + b"\r\n\r\n",
    "a sidecar's text": answer(HOSTILE.encode() * 4),
    "a sidecar's name": answer(b"0" * 64 + b"  " + HOSTILE.encode()),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_answers(source: RawSource, here: Path, shown: Callable[..., str], name: str) -> None:
    source.scripts[KEYS[0]] = sends(ANSWERS[name])
    source.scripts[f"{KEYS[1]}.CHECKSUM"] = sends(ANSWERS[name])
    shown(*collected(source), "--log-format", "text", "--log-level", "debug")
    for text in ("status -o out", f"history -o out {KEYS[0]}", "verify -o out"):
        shown(*text.split())
    source.scripts["?"] = sends(ANSWERS[name])
    shown(*collected(source, "listing"), "--listing-url", source.url)
    shown("plan", *collected(source, "listing")[1:], "--listing-url", source.url)


XML = "\u202e\u2066\u200b\ufeff\x9b2J&#x9b;2J"


@pytest.mark.parametrize("text", [XML, "\u202e\u200b", "\u202eTDSUCTB", "%1b%5b2J"])
def test_listings(source: RawSource, here: Path, shown: Callable[..., str], text: str) -> None:
    above = "data/spot/daily/klines/"
    names = "".join(
        f"<CommonPrefixes><Prefix>{above}{each}/</Prefix></CommonPrefixes>"
        for each in ("BTCUSDT", f"X{text}")
    )
    key = f"<Contents><Key>{FOLDER}{text}.zip</Key><Size>9</Size></Contents>"

    def script(connection: object, request: object) -> bool:
        prefix = request.query["prefix"]  # type: ignore[attr-defined]
        inner = {above: names, FOLDER: key}.get(prefix)
        body = source.listing(request.query)  # type: ignore[attr-defined]
        if inner is not None:
            flag = "<IsTruncated>false</IsTruncated>"
            body = f"<ListBucketResult>{flag}{inner}</ListBucketResult>".encode()
        connection.sendall(answer(body))  # type: ignore[attr-defined]
        return True

    source.scripts["?"] = script
    for symbol in ("BTCUSDT", "*"):
        words = [*_SELECT.replace("BTCUSDT", symbol).split(), "listing", *listed(source)]
        shown("plan", "-o", "out", *words)
        shown("collect", "-o", "out", *words)
    shown("matrix", "refresh", *listed(source), "--to", "matrix.json")


def test_names_of_files(source: RawSource, here: Path, shown: Callable[..., str]) -> None:
    assert run(*collected(source), "-q").code == 0
    folder = Path("out", FOLDER)
    good = Path("out", KEYS[0]).read_bytes()
    for name in (f"{NAME}.zip", f"BTCUSDT-1h-2025-07-1{NAME}.zip", f"{NAME}.zip.CHECKSUM", NAME):
        (folder / name).write_bytes(good)
    (folder.parent / NAME).mkdir()
    (folder.parent / NAME / f"{NAME}.zip").write_bytes(good)
    for text in (
        "verify -o out", "verify -o out --repair --source-url {url}", "verify -o out --combined -",
        "ingest -o out", "validate -o out", "status -o out", "lake sweep -o out",
    ):  # fmt: skip
        shown(*text.replace("{url}", source.url).split())
    shown(*collected(source))


def test_texts_of_the_ledger(source: RawSource, here: Path, shown: Callable[..., str]) -> None:
    source.files[KEYS[0]] = b"no zip"
    run(*collected(source), "-q")
    with closing(sqlite3.connect("out/.lakehouse/ledger.sqlite")) as ledger, ledger:
        ledger.execute("UPDATE archives SET reason = ?, etag = ?", (HOSTILE, HOSTILE))
        ledger.execute("UPDATE runs SET workflow = ?", (HOSTILE,))
    for note in Path("out/.lakehouse/quarantine").rglob("*.json"):
        note.write_text(json.dumps({"reason": HOSTILE, "key": HOSTILE}))
    for text in (
        "status -o out", "status -o out --by type", f"history -o out {KEYS[0]}", "verify -o out",
        "history -o out --since 2020-01-01", "ingest -o out",
    ):  # fmt: skip
        shown(*text.split())
    shown(*collected(source), "--retry-failed")


ROW_TEXTS = (
    "archives SET name = ?",
    "archives SET reason = ?, newer_verdict = 'failed', newer_reason = ?1",
    "versions SET name = ?",
)


@pytest.mark.parametrize("change", ROW_TEXTS)
def test_a_row_of_the_ledger_ends_no_line_of_a_log(
    source: RawSource, here: Path, change: str
) -> None:
    """Without a terminal, too: a key with an end of a line must not look like another line."""
    assert run(*collected(source), "-q").code == 0
    source.publish(KEYS[0], kline_zip(KEYS[0], ["1752105600000000,2,2,2,2,2,2,2,2,2,2,0"]))
    assert run(*collected(source, "listing"), *listed(source)[:2], "-q").code == 0
    with closing(sqlite3.connect("out/.lakehouse/ledger.sqlite")) as ledger, ledger:
        ledger.execute(f"UPDATE OR REPLACE {change}", (f"{HOSTILE}\n= forged.zip",))
    for text in (
        "status -o out", "verify -o out", "verify -o out --repair --source-url {url}",
        "history -o out --since 2020-01-01", f"history -o out {KEYS[0]}", "ingest -o out",
        "history -o out --prune 0", "lake verify -o out", "validate -o out",
    ):  # fmt: skip
        ended = run(*text.replace("{url}", source.url).split())
        written = ended.out + ended.err
        assert not any(line.startswith("= forged") for line in written.split("\n")), text
        assert _FOREIGN.search(written) is None, text
        assert "\x1b" not in written, text
    ended = run(*collected(source))
    assert "\x1b" not in ended.out + ended.err


def test_configurations(
    here: Path, shown: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {
        HOSTILE: 1, "symbols": [HOSTILE], "markets": [HOSTILE], "source_url": HOSTILE,
        "matrix_path": f"{HOSTILE}.json", "max_retries": HOSTILE, "data_types": {HOSTILE: 1},
    }  # fmt: skip
    for name, value in values.items():
        Path("c.json").write_text(json.dumps({"output_directory": "out", name: value}))
        for words in (("config", "show"), ("plan",), ("collect",)):
            shown(*words, "--config", "c.json")
    Path("c.yaml").write_text(f"output_directory: [{HOSTILE}")
    Path("c.toml").write_text(f"{HOSTILE} = 1")
    for name in ("c.yaml", "c.toml", f"{NAME}.json"):
        shown("config", "show", "--config", name)
    with monkeypatch.context() as patch:
        patch.setenv(f"CRYPTO_LAKEHOUSE_{HOSTILE}", "1")
        patch.setenv("CRYPTO_LAKEHOUSE_MARKETS", HOSTILE)
        shown("config", "show")
    matrix = json.loads(Path(__file__).parents[2].joinpath("matrix/binance.json").read_text())
    matrix["publisher"] = HOSTILE
    matrix["availability_matrix"][0]["notes"] = [HOSTILE]
    Path("m.json").write_text(json.dumps(matrix))
    shown("matrix", "--matrix", "m.json")
    shown("matrix", "diff", "m.json", "m.json")
    matrix["availability_matrix"][0]["data_type"] = HOSTILE
    Path("m.json").write_text(json.dumps(matrix))
    shown("matrix", "--matrix", "m.json")


def test_arguments(here: Path, shown: Callable[..., str]) -> None:
    put(KEYS[0], kline_zip(KEYS[0]))
    assert run("ingest", "-o", "out").code == 0
    for words in (
        [HOSTILE], ["config", HOSTILE], ["lake", HOSTILE], ["status", f"--{HOSTILE}"],
        ["status", "-o", HOSTILE], ["collect", "-o", "out", "-s", HOSTILE, "--date", "2025-01-01"],
        ["plan", "-s", HOSTILE, "-t", HOSTILE], ["plan", "--start", HOSTILE],
        ["history", "-o", "out", HOSTILE], ["verify", "-o", "out", "--sample", HOSTILE],
        ["verify", "-o", "out", "--sums", f"{NAME}/x"], ["validate", "-o", "out", "-s", HOSTILE],
        ["ingest", "-o", "out", "--lake", NAME], ["matrix", "--matrix", NAME],
        ["query", "-o", "out", HOSTILE],
        ["query", "-o", "out", f"SELECT '{HOSTILE}' AS \"{HOSTILE}\""],
        ["query", "-o", "out", f'SELECT "{HOSTILE}" FROM spot.klines'],  # noqa: S608
        ["query", "-o", "out", "--format", "csv", f"SELECT '{HOSTILE}'"],
        ["query", "-o", "out", "--format", "json", f"SELECT ['{HOSTILE}'] AS a"],
        ["query", "-o", "out", f"SELECT error('{HOSTILE}')"],
        ["query", "-o", "out", "--to", f"{NAME}.csv", "SELECT 1"],
        ["query", "-o", "out", "--to", f"{NAME}/x.csv", "SELECT 1"],
    ):  # fmt: skip
        shown(*words)
    shutil.rmtree("out")


def test_files_and_pipes_get_the_text_as_it_is(here: Path) -> None:
    put(KEYS[0], kline_zip(KEYS[0]))
    assert run("ingest", "-o", "out").code == 0
    question = f"SELECT '{HOSTILE}' AS text FROM spot.klines LIMIT 1"  # noqa: S608
    ended = run("query", "-o", "out", "--format", "json", question)
    assert json.loads(ended.out) == {"text": HOSTILE}
    assert run("query", "-o", "out", "--to", "x.json", question).code == 0
    assert json.loads(Path("x.json").read_text()) == {"text": HOSTILE}
