"""Hostile answers: each costs its archive a verdict, and no other archive anything.

A case is an answer to the zip, its sidecar or the listing, and the verdicts that are allowed. In
no case may there be a traceback, a wrong `verified`, a file outside the output directory, or a run
that does not end.
"""

from __future__ import annotations

import gzip
import json
import socket
from contextlib import suppress
from pathlib import Path

import pytest
from tests.attack.conftest import DAYS, FOLDER, KEYS, run
from tests.attack.raw_source import RawSource, Request, Script, answer, kline_zip, sidecar_of

VICTIM, *OTHERS = KEYS
GOOD = kline_zip(VICTIM)
EVIL = kline_zip(VICTIM, ["1,2,3"])
DIGITS = "9" * 5_000

#: Its member is called as it must be, up to a NUL.
NUL = kline_zip(VICTIM, member=f"{VICTIM[len(FOLDER) : -4]}.csv_evil").replace(b"_evil", b"\0evil")

FAILED = {"failed"}
WRONG = {"corrupt", "upstream_mismatch"}
ANY_BUT_GOOD = {"failed", "missing", "not_published", "sidecar_missing"} | WRONG

#: How long a source may be silent, in seconds; the scripts that are silent wait for the client.
_TIMEOUT_S = "1"


def sends(*pieces: bytes, closes: bool = True) -> Script:
    """Send these bytes, whatever was requested."""

    def script(connection: socket.socket, _request: Request) -> bool:
        for piece in pieces:
            connection.sendall(piece)
        return not closes

    return script


def for_ever(head: bytes, piece: bytes) -> Script:
    """Send a piece again and again until the client closes the connection."""

    def script(connection: socket.socket, _request: Request) -> bool:
        with suppress(OSError):
            connection.sendall(head)
            while True:
                connection.sendall(piece)
        return False

    return script


def silent(head: bytes) -> Script:
    """Send a head, and wait until the client gives up."""

    def script(connection: socket.socket, _request: Request) -> bool:
        connection.sendall(head)
        connection.recv(1)
        return False

    return script


def chunked(body: bytes, end: bytes = b"0\r\n\r\n", *lines: str) -> bytes:
    head = answer(b"", "200 OK", "Transfer-Encoding: chunked", *lines, length="")
    return head + b"%x\r\n" % len(body) + body + b"\r\n" + end


def redirect(location: str) -> bytes:
    return answer(b"", "302 Found", f"Location: {location}")


OK = b"HTTP/1.1 200 OK\r\n"

#: Answers to the request for the zip, and the verdicts that are allowed.
ZIPS: dict[str, tuple[Script, set[str]]] = {
    "the zip": (sends(answer(GOOD)), {"verified"}),
    "the zip in chunks": (sends(chunked(GOOD)), {"verified"}),
    "the zip up to the end of the connection": (sends(answer(GOOD, length="")), {"verified"}),
    "http 1.0": (sends(answer(GOOD).replace(b"HTTP/1.1", b"HTTP/1.0")), {"verified"}),
    "an early hint first": (sends(b"HTTP/1.1 103 Early\r\n\r\n" + answer(GOOD)), {"verified"}),
    "bare line feeds": (sends(b"HTTP/1.1 200 OK\nContent-Length: 4\n\nevil"), WRONG),
    "another zip": (sends(answer(EVIL)), WRONG),
    "no zip": (sends(answer(b"evil")), WRONG),
    "nothing": (sends(answer(b"")), WRONG),
    "a page": (sends(answer(b"<!DOCTYPE html>" * 99)), WRONG),
    "a zip with more behind it": (sends(answer(GOOD + b"more")), WRONG),
    "another member": (sends(answer(kline_zip(VICTIM, member="../../evil.csv"))), WRONG),
    "a NUL in the member's name": (sends(answer(NUL)), WRONG),
    "a second answer": (sends(answer(GOOD) + answer(b"evil"), closes=False), {"verified"}),
    "a pushed 404": (
        sends(answer(GOOD) + answer(b"", "404 No"), closes=False), {"verified"},
    ),
    "half the zip": (sends(answer(GOOD[:99], length=len(GOOD))), FAILED),
    "chunks without an end": (sends(chunked(GOOD, b"")), FAILED),
    "a chunk without a length": (sends(chunked(GOOD, b"zz\r\n")), FAILED),
    "a chunk of thousands of digits": (sends(chunked(GOOD, b"f" * 5_000 + b"\r\n")), FAILED),
    "no head": (sends(b"\x00\xff" * 500), FAILED),
    "an empty connection": (sends(), FAILED),
    "a head without an end": (for_ever(OK, b"X-Long: " + b"x" * 9_000 + b"\r\n"), FAILED),
    "a line without an end": (for_ever(OK + b"X: ", b"x" * 9_000), FAILED),
    "hints without an end": (for_ever(b"", b"HTTP/1.1 103 Early\r\n\r\n"), FAILED),
    "silence between chunks": (silent(chunked(b"x", b"1\r\n")), FAILED),
    "silence": (silent(OK), FAILED),
    "silence in the body": (silent(answer(GOOD[:9], length=len(GOOD))), FAILED),
    "two lengths": (sends(answer(GOOD, "200 OK", "Content-Length: 3")), FAILED),
    "a negative length": (sends(answer(GOOD, length=-1)), FAILED),
    "a length of thousands of digits": (sends(answer(GOOD, length=DIGITS)), FAILED),
    "a length of 2^63": (sends(answer(GOOD, length=2**63)), FAILED),
    "a length that is no number": (sends(answer(GOOD, length="many")), FAILED),
    "a length and chunks": (sends(chunked(GOOD, b"0\r\n\r\n", "Content-Length: 5")), FAILED),
    "compressed, it says": (sends(answer(GOOD, "200 OK", "Content-Encoding: gzip")), {"verified"}),
    "an unknown transfer coding": (
        sends(answer(GOOD, "200 OK", "Transfer-Encoding: evil", length="")), FAILED,
    ),
    "a status of four digits": (sends(answer(GOOD, "2000 OK")), FAILED),
    "status 99": (sends(answer(GOOD, "99 Odd")), FAILED),
    "a switch of protocols": (sends(answer(b"", "101 Switching Protocols")), FAILED),
    "no content": (sends(answer(b"", "204 No Content", length="")), FAILED),
    "a range unasked": (
        sends(answer(GOOD, "206 Partial Content", f"Content-Range: bytes 0-9/{DIGITS}")), FAILED,
    ),
    "416": (sends(answer(b"", "416 No", f"Content-Range: bytes */{DIGITS}")), FAILED),
    "304": (sends(answer(b"", "304 Not Modified", length="")), FAILED),
    "404": (sends(answer(b"", "404 Not Found")), {"missing", "not_published"}),
    "403": (sends(answer(b"", "403 Forbidden")), FAILED),
    "503 for ever": (sends(answer(b"", "503 Busy", f"Retry-After: {DIGITS}")), FAILED),
    "a redirect to a file": (sends(redirect("file:///etc/passwd")), FAILED),
    "a redirect to another host": (sends(redirect("http://evil.invalid/x.zip")), FAILED),
    "a redirect that yarl cannot parse": (sends(redirect("//[]@")), FAILED),
    "a redirect to a port that is none": (sends(redirect("http://127.0.0.1:99999/")), FAILED),
    "a redirect to nowhere": (sends(redirect("")), FAILED),
    "a redirect with a long address": (sends(redirect("/" + "x" * 60_000)), FAILED | {"missing"}),
    "a redirect to itself": (sends(redirect(f"/{VICTIM}")), FAILED),
    "an ETag that is no text": (sends(answer(GOOD, "200 OK", "ETag: \xff\xfe")), {"verified"}),
    "a date that is none": (
        sends(answer(GOOD, "200 OK", f"Last-Modified: Mon, 01 Jan {DIGITS} 00:00:00 GMT")),
        {"verified"},
    ),
    "a header with escapes": (
        sends(answer(EVIL, "200 OK", "X-Evil: \x1b]0;evil\x07")), FAILED | WRONG,
    ),
}  # fmt: skip

#: Answers to the request for the sidecar of a zip that is good.
SIDECARS: dict[str, tuple[Script, set[str]]] = {
    "absent": (sends(answer(b"", "404 Not Found")), {"sidecar_missing"}),
    "another digest": (sends(answer(sidecar_of(EVIL, VICTIM))), WRONG),
    "empty": (sends(answer(b"")), WRONG | {"sidecar_missing"}),
    "no text": (sends(answer(b"\xff" * 64)), WRONG | {"sidecar_missing"}),
    "digits of another script": (sends(answer(("١" * 64).encode())), WRONG | {"sidecar_missing"}),
    "two lines": (sends(answer(sidecar_of(GOOD, VICTIM) * 2)), WRONG | {"sidecar_missing"}),
    "thousands of digits": (sends(answer(DIGITS.encode())), WRONG | {"sidecar_missing"}),
    "a hostile name": (
        sends(answer(sidecar_of(GOOD, VICTIM)[:64] + b"  ../../../etc/passwd\n")), {"verified"},
    ),
    "compressed": (
        sends(answer(gzip.compress(sidecar_of(GOOD, VICTIM)), "200 OK", "Content-Encoding: gzip")),
        {"verified"},
    ),
    "compressed without a word": (sends(answer(gzip.compress(sidecar_of(GOOD, VICTIM)))), WRONG),
    "a small gzip of a large text": (
        sends(answer(gzip.compress(bytes(1 << 24)), "200 OK", "Content-Encoding: gzip")), WRONG,
    ),
    "compressed, it says": (
        sends(answer(sidecar_of(GOOD, VICTIM), "200 OK", "Content-Encoding: gzip")), {"verified"},
    ),
    "without an end": (for_ever(answer(b"", length=""), b"0" * 9_000), ANY_BUT_GOOD),
    "half of it": (sends(answer(sidecar_of(GOOD, VICTIM)[:30], length=90)), FAILED),
    "a redirect that yarl cannot parse": (sends(redirect("//[]@")), FAILED),
    "500": (sends(answer(b"", "500 No")), FAILED),
}  # fmt: skip


def page(*objects: tuple[str, object], more: str = "", last: str = "false") -> bytes:
    entries = "".join(
        f"<Contents><Key>{key}</Key><Size>{size}</Size></Contents>" for key, size in objects
    )
    text = f"<ListBucketResult><IsTruncated>{last}</IsTruncated>{entries}{more}</ListBucketResult>"
    return answer(text.encode())


#: Answers to every request for a page of the listing.
LISTINGS: dict[str, Script] = {
    "no xml": sends(answer(b"evil")),
    "empty": sends(answer(b"")),
    "cut off": sends(answer(b"<ListBucketResult><IsTruncated>fal")),
    "a page for people": sends(answer(b"<!DOCTYPE html><html></html>")),
    "entities": sends(
        answer(b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><ListBucketResult/>')
    ),
    "a size of thousands of digits": sends(page((VICTIM, DIGITS))),
    "a negative size": sends(page((VICTIM, -1))),
    "sizes of more than 2^63 together": sends(*[page(*((key, 2**63 - 1) for key in KEYS))]),
    "a key outside": sends(page(("../../evil.zip", 1))),
    "a key with escapes": sends(page((f"{FOLDER}&#x9b;31m.zip", 1))),
    "the same page for ever": sends(page((VICTIM, 9), last="true")),
    "deeply nested": sends(answer(b"<ListBucketResult>" + b"<a>" * 9_999)),
    "a tag without an end": sends(answer(b"<ListBucketResult><" + b"a" * 200_000)),
    "404": sends(answer(b"", "404 Not Found")),
    "redirected to nowhere": sends(redirect("//[]@")),
    "a small gzip of a large page": sends(
        answer(
            gzip.compress(b"<ListBucketResult>" + b" " * (1 << 25)),
            "200 OK",
            "Content-Encoding: gzip",
        )
    ),
    "half a page": sends(answer(b"<ListBucketResult>", length=9_999)),
}


def collect(source: RawSource, *more: str) -> tuple[int, dict[str, str], dict[str, int]]:
    """Collect three days; return the exit code, problems by key, and the totals."""
    ended = run(
        "collect", "-o", "out", "--markets", "spot", "-s", "BTCUSDT", "-t", "klines", "-i", "1h",
        "--start", DAYS[0], "--end", DAYS[-1], "--source-url", source.url, "--max-retries", "0",
        "--timeout-seconds", _TIMEOUT_S, "--json", "-q", *more,
    )  # fmt: skip
    assert "\x1b" not in ended.out + ended.err
    report = json.loads(ended.out)
    problems = {item["key"]: item["verdict"] for item in report["problems"]}
    return ended.code, problems, report["totals"]


def check_tree(here: Path) -> None:
    """What has a final name is what was published, and nothing lies outside the directory."""
    assert {path.name for path in here.iterdir()} == {"out"}
    for path in (here / "out/data").rglob("*.zip"):
        assert path.read_bytes() == kline_zip(path.relative_to(here / "out").as_posix())
    assert not list((here / "out").rglob("evil*"))


def check(source: RawSource, here: Path, allowed: set[str]) -> None:
    _code, problems, totals = collect(source, "--discovery", "calendar")
    assert not problems.keys() & set(OTHERS)
    verdict = problems.get(VICTIM, "verified")
    assert verdict in allowed
    assert totals["verified"] == len(KEYS) - (verdict != "verified")
    check_tree(here)
    source.scripts.clear()
    code, _, _ = collect(source, "--discovery", "calendar", "--force-redownload")
    assert code == 0, "nothing of it is left for the next run"
    check_tree(here)
    assert not list((here / "out").rglob("*.part"))


@pytest.mark.parametrize("name", ZIPS)
def test_an_answer_for_a_zip(source: RawSource, here: Path, name: str) -> None:
    script, allowed = ZIPS[name]
    source.scripts[VICTIM] = script
    check(source, here, allowed)


@pytest.mark.parametrize("name", SIDECARS)
def test_an_answer_for_a_sidecar(source: RawSource, here: Path, name: str) -> None:
    script, allowed = SIDECARS[name]
    source.scripts[f"{VICTIM}.CHECKSUM"] = script
    check(source, here, allowed)


@pytest.mark.parametrize("name", LISTINGS)
def test_a_page_of_a_listing(source: RawSource, here: Path, name: str) -> None:
    source.scripts["?"] = LISTINGS[name]
    ended = run(
        "collect", "-o", "out", "--markets", "spot", "-s", "BTCUSDT", "-t", "klines", "-i", "1h",
        "--start", DAYS[0], "--end", DAYS[-1], "--source-url", source.url, "--max-retries", "0",
        "--timeout-seconds", _TIMEOUT_S, "-q", "--discovery", "listing",
        "--listing-url", source.url,
    )  # fmt: skip
    assert ended.code in {0, 2, 3, 5}, ended
    assert "\x1b" not in ended.out + ended.err
    assert "\x9b" not in ended.out + ended.err
    source.scripts.clear()
    code, _, totals = collect(source, "--discovery", "listing", "--listing-url", source.url)
    assert (code, totals["verified"] + totals["unchanged"]) == (0, len(KEYS))
    check_tree(here)
