"""Hostile listings: a run says that it could not plan, or leaves out what no archive is called.

A page is refused as a whole, and nothing of its folder is planned, or it is read, and what is no
archive in it is left out. Instead of what is no listing at all the calendar is used. In no case is
anything requested that only the listing named, or from a host that the configuration did not, or
written outside the output directory; and the next run, against an honest listing, is complete.
"""

from __future__ import annotations

import gzip
import json
import re
import socket
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from tests.attack.conftest import DAYS, FOLDER, KEYS, Ended, digests, run
from tests.attack.raw_source import RawSource, Request, Script, answer

LONG = "A" * 300
FAR = "http://evil.invalid/evil.dtd"


def entry(key: str, size: object = 9, more: str = "") -> str:
    return f"<Contents><Key>{key}</Key><Size>{size}</Size>{more}</Contents>"


def page(entries: str, *, marker: str = "", last: bool = True) -> str:
    following = f"<NextMarker>{marker}</NextMarker>" if marker else ""
    flag = "false" if last else "true"
    return (
        f"<ListBucketResult><IsTruncated>{flag}</IsTruncated>{following}{entries}"
        "</ListBucketResult>"
    )


def folders(*names: str) -> str:
    return "".join(f"<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>" for name in names)


def key_of(element: str) -> str:
    return element.partition("<Key>")[2].partition("</Key>")[0]


def said(text: str | bytes, *lines: str) -> Script:
    body = text.encode() if isinstance(text, str) else text

    def script(connection: socket.socket, _request: Request) -> bool:
        connection.sendall(answer(body, "200 OK", *lines))
        return True

    return script


def of_query(make: Callable[[dict[str, str]], str]) -> Script:
    def script(connection: socket.socket, request: Request) -> bool:
        connection.sendall(answer(make(request.query).encode()))
        return True

    return script


def only(prefix: str, script: Script, source: RawSource) -> Script:
    """Answer for one prefix with a script, and honestly for all others."""

    def answering(connection: socket.socket, request: Request) -> bool:
        if request.query["prefix"] == prefix:
            return script(connection, request)
        connection.sendall(answer(source.listing(request.query)))
        return True

    return answering


def endless(query: dict[str, str]) -> str:
    """One more page of one object, for ever."""
    place = re.sub(r"\D", "", query.get("marker", "").rpartition("~")[2]) or "0"
    key = f"{FOLDER}BTCUSDT-1h-2025~{int(place) + 1:09}"
    return page(entry(key), last=False)


def cyclic(query: dict[str, str]) -> str:
    """Two pages, each of which names the other as the next one."""
    is_second = query.get("marker", "").endswith("b")
    key, marker = ("c", "a") if is_second else ("a", "b")
    return page(entry(f"{FOLDER}{key}"), marker=f"{FOLDER}{marker}", last=False)


def repeating(query: dict[str, str]) -> str:
    """Each page has the same entries, and a marker that is further on."""
    return page(entry(KEYS[0]), marker=f"{query.get('marker', KEYS[0])}~", last=False)


GOOD = page("".join(entry(key) for key in KEYS))
_DECLARED = '<?xml version="1.0" encoding="{}"?>'


#: Answers for the folder: it cannot be listed, exit code 5.
REFUSED: dict[str, Script] = {
    "endless": of_query(endless),
    "cyclic markers": of_query(cyclic),
    "pages that repeat": of_query(repeating),
    "a marker before the page": said(page(entry(KEYS[1]), marker=KEYS[0], last=False)),
    "a marker outside the prefix": said(page(entry(KEYS[1]), marker="data/z", last=False)),
    "a marker on the last page": said(page(entry(KEYS[1]), marker=KEYS[2])),
    "a marker of controls": said(page(entry(KEYS[1]), marker=f"{FOLDER}~\x7f", last=False)),
    "more to come, and no entry": said(page("", last=False)),
    "truncated or not": said(GOOD.replace("false", "maybe")),
    "truncated twice": said(GOOD.replace("</I", "</IsTruncated><IsTruncated>true</I", 1)),
    "it does not say whether there is more": said("<ListBucketResult></ListBucketResult>"),
    "a key outside the prefix": said(page(entry("data/spot/daily/klines/ETHUSDT/1h/x.zip"))),
    "an absolute key": said(page(entry("/etc/passwd"))),
    "a key of a parent": said(page(entry("../../../etc/passwd"))),
    "no key": said(page("<Contents><Size>9</Size></Contents>")),
    "two keys": said(page(entry(KEYS[0], more=f"<Key>{KEYS[1]}</Key>"))),
    "an empty key": said(page(entry(""))),
    "keys out of order": said(page(entry(KEYS[1]) + entry(KEYS[0]))),
    "one key twice": said(page(entry(KEYS[0]) * 2)),
    "a folder that is the prefix": said(page(folders(FOLDER))),
    "a folder without an end": said(page(folders(f"{FOLDER}x"))),
    "a folder of two levels": said(page(folders(f"{FOLDER}x/y/"))),
    "a folder outside": said(page(folders("../"))),
    "2^64 as a size": said(page(entry(KEYS[0], 2**64))),
    "a size with a sign": said(page(entry(KEYS[0], "+9"))),
    "a size in other digits": said(page(entry(KEYS[0], "٩"))),
    "a size with an underscore": said(page(entry(KEYS[0], "9_0"))),
    "a size with an exponent": said(page(entry(KEYS[0], "1e3"))),
    "no size": said(page(f"<Contents><Key>{KEYS[0]}</Key></Contents>")),
    "an empty size": said(page(entry(KEYS[0], ""))),
    "an entity that is not declared": said(page(entry("&evil;"))),
    "an inclusion": said(
        page(
            '<Contents><Key><xi:include xmlns:xi="http://www.w3.org/2001/XInclude" '
            'href="file:///etc/passwd"/></Key></Contents>'
        )
    ),
    "latin-1": said(page(entry(f"{FOLDER}é.zip")).encode("latin-1")),
    "no utf-8": said(page(entry(f"{FOLDER}x")).encode().replace(b"/x<", b"/\xff<")),
    "an overlong slash": said(page(entry(f"{FOLDER}x")).encode().replace(b"/x<", b"/\xc0\xaf<")),
    "a lone surrogate": said(page(entry(f"{FOLDER}&#xd800;"))),
    "a NUL": said(page(entry(f"{FOLDER}&#0;"))),
    "an escape sequence": said(page(entry(f"{FOLDER}&#x9b;2J"))),
    "an escape that is encoded": said(
        page("<EncodingType>url</EncodingType>" + entry(f"{FOLDER}%1b%5b2J"))
    ),
    "encoded, and no utf-8": said(
        page("<EncodingType>url</EncodingType>" + entry(f"{FOLDER}%ff"))
    ),
    "an unknown encoding": said(page("<EncodingType>evil</EncodingType>" + entry(KEYS[0]))),
    "another listing behind it": said(GOOD + GOOD),
    "text behind it": said(GOOD + "evil"),
    "a listing in a listing": said(f"<ListBucketResult>{GOOD}</ListBucketResult>"),
    "compressed, and damaged": said(b"\x1f\x8b\x08" + b"\0" * 500, "Content-Encoding: gzip"),
    "a bomb": said(gzip.compress(bytes(64 << 20)), "Content-Encoding: gzip"),
    "a bomb of entries": said(
        gzip.compress(GOOD.replace("</L", f"{'<x/>' * (8 << 20)}</L").encode()),
        "Content-Encoding: gzip",
    ),
    "11,000 entries in a page": said(
        page("".join(entry(f"{FOLDER}x{number:05}", more="") for number in range(11_000)))
    ),
    "17 MiB": said(page(entry(KEYS[0]) + f"<x>{' ' * (17 << 20)}</x>")),
    "a comment without an end": said(page("<!--" + "-" * 200_000)),
    "a namespace bomb": said(page("".join(f"<x{n}:a>" for n in range(5_000)))),
}  # fmt: skip

#: Answers that are no listing at all: the plan comes from the calendar, and the run says so.
NO_LISTINGS: dict[str, Script] = {
    "an entity bomb": said(
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
        + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in pairwise("abcdefghi"))
        + f"]>{page(entry('&i;'))}"
    ),
    "an entity of a file": said(
        f'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>{page(entry("&a;"))}'
    ),
    "an entity of another host": said(
        f'<!DOCTYPE x [<!ENTITY a SYSTEM "{FAR}">]>{page(entry("&a;"))}'
    ),
    "a parameter entity": said(f'<!DOCTYPE x [<!ENTITY % a SYSTEM "{FAR}"> %a;]>{GOOD}'),
    "a document type of another host": said(f'<!DOCTYPE x SYSTEM "{FAR}">{GOOD}'),
    "utf-16, it says": said(_DECLARED.format("utf-16").encode() + GOOD.encode("utf-16-be")),
    "utf-32": said(GOOD.encode("utf-32")),
    "ebcdic": said(GOOD.encode("cp037")),
    "a page of people": said("<html><body>Please log in</body></html>"),
    "a page of people with a type": said("<!DOCTYPE html><html><body>Log in</body></html>"),
    "an error of S3": said("<Error><Code>AccessDenied</Code></Error>"),
    "json": said('{"Contents": []}'),
    "compressed by brotli, it says": said(b"\x0b\x02\x80evil\x03", "Content-Encoding: br"),
}  # fmt: skip

#: More entries of the folder, which are not archives of it: left out, exit code 0.
LEFT_OUT: dict[str, str] = {
    "a key below a folder": entry(f"{FOLDER}a/b.zip"),
    "a name with dots": entry(f"{FOLDER}..zip"),
    "two dots": entry(f"{FOLDER}.."),
    "backslashes": entry(rf"{FOLDER}..\..\evil.zip"),
    "another symbol": entry(f"{FOLDER}AAAUSDT-1h-2025-07-10.zip"),
    "another interval": entry(f"{FOLDER}BTCUSDT-1d-2025-07-10.zip"),
    "a day that is none": entry(f"{FOLDER}BTCUSDT-1h-2025-02-30.zip"),
    "a day in other digits": entry(f"{FOLDER}BTCUSDT-1h-2025-07-1٠.zip"),
    "a month among days": entry(f"{FOLDER}BTCUSDT-1h-2025-07.zip"),
    "a sidecar without its zip": entry(f"{FOLDER}BTCUSDT-1h-2025-07-01.zip.CHECKSUM"),
    "small letters": entry(f"{FOLDER}btcusdt-1h-2025-07-10.zip"),
    "a capital ending": entry(f"{FOLDER}BTCUSDT-1h-2025-07-09.ZIP"),
    "the folder itself": entry(FOLDER),
    "a blank": entry(f"{FOLDER} BTCUSDT-1h-2025-07-10.zip"),
    "an invisible letter": entry(f"{FOLDER}BTCUSDT\u200b-1h-2025-07-10.zip"),
    "letters from right to left": entry(f"{FOLDER}\u202eBTCUSDT-1h-2025-07-10.zip"),
    "a long name": entry(f"{FOLDER}{LONG}.zip"),
    "an ETag of a megabyte": entry(f"{FOLDER}x.zip", more=f"<ETag>{'a' * 1_000_000}</ETag>"),
    "a date that is none": entry(f"{FOLDER}x", more="<LastModified>evil</LastModified>"),
    "an unknown element": f"<Evil><Deep>{FAR}</Deep></Evil>",
    "a name of 100,000 letters": f"<{'a' * 100_000}/>",
    "100,000 attributes": "<x " + " ".join(f'a{n}=""' for n in range(100_000)) + "/>",
    "an owner": entry(f"{FOLDER}x", more="<Owner><ID>evil</ID><Key>evil</Key></Owner>"),
}

#: Folders beside that of the symbol.
SYMBOLS: dict[str, str] = {
    "a parent": "..",
    "the same folder": ".",
    "no name": "",
    "a blank": " ",
    "dots": "BTC..USDT",
    "a backslash": r"BTC\USDT",
    "an invisible letter": "BTC\u200bUSDT",
    "from right to left": "BTC\u202eUSDT",
    "a glob": "BTC*",
    "a class of a glob": "BTC[A-Z]",
    "a long name": f"BTC{LONG}",
    "a line end": "BTC&#10;USDT",
    "a NUL that is encoded": "BTC%00USDT",
    "a slash that is encoded": "BTC%2F..%2FUSDT",
    "SQL": "BTC'; DROP TABLE archives; --",
    "a tag": "BTC&lt;script&gt;",
    "a colon": "BTC:USDT",
    "small letters": "btcusdt",
}


def command(name: str, source: RawSource, *more: str, symbol: str = "BTCUSDT") -> Ended:
    ended = run(
        name, "-o", "out", "--markets", "spot", "-s", symbol, "-t", "klines", "-i", "1h",
        "--start", DAYS[0], "--end", DAYS[-1], "--source-url", source.url, "--max-retries", "0",
        "--timeout-seconds", "5", "--discovery", "listing", "--listing-url", source.url,
        "--partitions", "daily", *more,
    )  # fmt: skip
    for sign in ("\x1b", "\x9b", "\x07", "root:"):
        assert sign not in ended.out + ended.err
    return ended


def check_tree(here: Path) -> None:
    """The published archives, or fewer, and a state folder; nothing beside them."""
    allowed = {here / "out" / key for key in KEYS}
    allowed |= {path.with_name(f"{path.name}.CHECKSUM") for path in allowed}
    for path, found in digests(here).items():
        is_state = Path(path).is_relative_to(here / "out/.lakehouse")
        assert is_state or found == "folder" or Path(path) in allowed


def check_requests(source: RawSource, *others: str) -> None:
    """What was requested is published, or the listing itself."""
    keys = {key for key in source.requests if key}
    assert keys <= {*KEYS, *(f"{key}.CHECKSUM" for key in KEYS), *others}


def check_next_run(source: RawSource, here: Path) -> None:
    source.scripts.clear()
    ended = command("collect", source, "-q", "--json")
    totals = json.loads(ended.out)["totals"]
    assert (ended.code, totals["verified"] + totals["unchanged"]) == (0, len(KEYS))
    check_tree(here)


@pytest.mark.parametrize("name", REFUSED)
def test_a_listing_that_is_refused(source: RawSource, here: Path, name: str) -> None:
    source.scripts["?"] = only(FOLDER, REFUSED[name], source)
    ended = command("collect", source, "-q", "--json")
    assert ended.code == 5, ended
    assert json.loads(ended.out)["totals"]["planned"] == 0
    assert len(source.requests) <= 1_010
    assert FOLDER in ended.err
    assert len(ended.out + ended.err) < 4_000
    check_requests(source)
    check_tree(here)
    check_next_run(source, here)


@pytest.mark.parametrize("name", NO_LISTINGS)
def test_what_is_no_listing_is_not_used(source: RawSource, here: Path, name: str) -> None:
    source.scripts["?"] = NO_LISTINGS[name]
    ended = command("collect", source, "-q", "--json")
    assert (ended.code, json.loads(ended.out)["totals"]["verified"]) == (0, len(KEYS)), ended
    assert "come from the calendar instead" in ended.err
    assert len(ended.out + ended.err) < 4_000
    check_requests(source)
    check_next_run(source, here)
    source.scripts["?"] = NO_LISTINGS[name]
    assert command("plan", source, symbol="BTC*").code == 5


@pytest.mark.parametrize("name", LEFT_OUT)
def test_an_entry_that_is_no_archive_is_left_out(source: RawSource, here: Path, name: str) -> None:
    def script(connection: socket.socket, request: Request) -> bool:
        text = source.listing(request.query).decode()
        if request.query["prefix"] == FOLDER:
            found = [*re.findall("<Contents>.*?</Contents>", text), LEFT_OUT[name]]
            found.sort(key=key_of)
            marker = request.query.get("marker", "")
            text = page(
                "".join(each for each in found if key_of(each) > marker or not key_of(each))
            )
        connection.sendall(answer(text.encode()))
        return True

    source.scripts["?"] = script
    ended = command("collect", source, "-q", "--json")
    assert (ended.code, json.loads(ended.out)["totals"]["verified"]) == (0, len(KEYS)), ended
    check_requests(source)
    check_tree(here)
    check_next_run(source, here)


@pytest.mark.parametrize("name", SYMBOLS)
def test_a_folder_that_is_no_symbol_is_left_out(source: RawSource, here: Path, name: str) -> None:
    above = "data/spot/daily/klines/"

    def script(connection: socket.socket, request: Request) -> bool:
        text = source.listing(request.query).decode()
        if request.query["prefix"] == above:
            text = page(folders(*sorted([f"{above}BTCUSDT/", f"{above}{SYMBOLS[name]}/"])))
        connection.sendall(answer(text.encode()))
        return True

    source.scripts["?"] = script
    for each in ("plan", "collect"):
        ended = command(each, source, "--json", symbol="*")
        assert ended.code in {0, 5}, ended
        check_tree(here)
        check_requests(source)
    to = here / "matrix.json"
    refreshed = run(
        "matrix", "refresh", "--source-url", source.url, "--listing-url", source.url,
        "--to", to, "--max-retries", "0",
    )  # fmt: skip
    assert refreshed.code in {0, 5}
    if refreshed.code == 0:
        first, *_ = json.loads(to.read_text())["availability_matrix"]
        assert "BTCUSDT" in first["symbols"]
        assert set(first["symbols"]) <= {"BTCUSDT", "btcusdt"}
        to.unlink()
    assert not to.exists()
    check_next_run(source, here)
