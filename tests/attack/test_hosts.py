"""Redirects and headers that lead elsewhere: no host is asked that no configuration names."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.attack.conftest import DAYS, KEYS, Ended, run
from tests.attack.raw_source import RawSource, answer, kline_zip
from tests.attack.test_answers import sends

VICTIM = KEYS[0]
EVIL = kline_zip(VICTIM, ["1,2,3"])

#: How the port of the other host, and that of the source, may be written into a location.
FORMS: dict[str, Callable[[int, int], str]] = {
    "plain": lambda evil, _own: f"http://127.0.0.1:{evil}/",
    "without a scheme": lambda evil, _own: f"//127.0.0.1:{evil}/",
    "three slashes": lambda evil, _own: f"///127.0.0.1:{evil}/",
    "backslashes": lambda evil, _own: rf"\\127.0.0.1:{evil}/",
    "mixed slashes": lambda evil, _own: rf"/\127.0.0.1:{evil}/",
    "one slash": lambda evil, _own: f"http:/127.0.0.1:{evil}/",
    "no slash": lambda evil, _own: f"http:127.0.0.1:{evil}/",
    "capitals": lambda evil, _own: f"HTTP://127.0.0.1:{evil}/",
    "a user that looks like the source": lambda evil, own: f"http://127.0.0.1:{own}@127.0.0.1:{evil}/",
    "a user with a password": lambda evil, _own: f"http://a:b@127.0.0.1:{evil}/",
    "a backslash before the host": lambda evil, own: rf"http://127.0.0.1:{own}\@127.0.0.1:{evil}/",
    "a hash before the host": lambda evil, own: f"http://127.0.0.1:{own}#@127.0.0.1:{evil}/",
    "a question before the host": lambda evil, own: f"http://127.0.0.1:{own}?@127.0.0.1:{evil}/",
    "a name": lambda evil, _own: f"http://localhost:{evil}/",
    "a name with a dot": lambda evil, _own: f"http://localhost.:{evil}/",
    "a number": lambda evil, _own: f"http://2130706433:{evil}/",
    "hexadecimal": lambda evil, _own: f"http://0x7f000001:{evil}/",
    "octal": lambda evil, _own: f"http://0177.0.0.1:{evil}/",
    "short": lambda evil, _own: f"http://127.1:{evil}/",
    "another loopback": lambda evil, _own: f"http://127.0.0.2:{evil}/",
    "all": lambda evil, _own: f"http://0.0.0.0:{evil}/",
    "ipv6": lambda evil, _own: f"http://[::ffff:127.0.0.1]:{evil}/",
    "full width": lambda evil, _own: f"http://127\u3002\uff10.0.1:{evil}/",
    "a blank before it": lambda evil, _own: f" http://127.0.0.1:{evil}/",
    "a tab in it": lambda evil, _own: f"ht\ttp://127.0.0.1:{evil}/",
    "zeros before the port": lambda evil, _own: f"http://127.0.0.1:0{evil}/",
    "encoded": lambda evil, _own: f"http://127.0.0.1%3A{evil}/",
    "https": lambda evil, _own: f"https://127.0.0.1:{evil}/",
    "websocket": lambda evil, _own: f"ws://127.0.0.1:{evil}/",
    "ftp": lambda evil, _own: f"ftp://127.0.0.1:{evil}/",
}  # fmt: skip

CODES = ("300 Choices", "301 Moved", "303 Other", "305 Proxy", "306 Switch", "307 Temporary",
         "308 Permanent", "310 Odd", "399 Odd", "201 Created")  # fmt: skip

#: Headers that name another address, in an answer that is good.
HEADERS = ("Refresh: 0; url={}", "Link: <{}>; rel=canonical", "Content-Location: {}",
           'Alt-Svc: h2="{}"', "Location: {}", "X-Accel-Redirect: {}")  # fmt: skip


@pytest.fixture
def elsewhere() -> Iterator[RawSource]:
    """A host that no configuration names, whose archives are other ones."""
    with RawSource() as other:
        other.publish(VICTIM, EVIL)
        yield other


def port(source: RawSource) -> int:
    found = urlsplit(source.url).port
    assert found is not None
    return found


def collect(source: RawSource, *more: str) -> Ended:
    return run(
        "collect", "-o", "out", "--markets", "spot", "-s", "BTCUSDT", "-t", "klines", "-i", "1h",
        "--start", DAYS[0], "--end", DAYS[-1], "--source-url", source.url, "--max-retries", "0",
        "--timeout-seconds", "5", "--json", "-q", *more,
    )  # fmt: skip


def check(source: RawSource, elsewhere: RawSource, here: Path, *more: str) -> None:
    ended = collect(source, *(more or ("--discovery", "calendar")))
    assert not elsewhere.requests
    path = here / "out" / VICTIM
    assert not path.exists() or path.read_bytes() == kline_zip(VICTIM)
    if not path.exists():
        assert ended.code in {3, 4, 5}, ended


@pytest.mark.parametrize("name", FORMS)
def test_forms_of_a_location(
    source: RawSource, elsewhere: RawSource, here: Path, name: str
) -> None:
    address = FORMS[name](port(elsewhere), port(source)) + VICTIM
    moved = (
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + address.encode() + b"\r\n\r\n"
    )
    source.scripts[VICTIM] = sends(moved)
    check(source, elsewhere, here)
    source.scripts = {f"{VICTIM}.CHECKSUM": sends(moved), "?": sends(moved)}
    check(source, elsewhere, here)
    check(source, elsewhere, here, "--discovery", "listing", "--listing-url", source.url)


@pytest.mark.parametrize("code", CODES)
def test_statuses_that_redirect(
    source: RawSource, elsewhere: RawSource, here: Path, code: str
) -> None:
    source.scripts[VICTIM] = sends(answer(EVIL, code, f"Location: {elsewhere.url}/{VICTIM}"))
    check(source, elsewhere, here)


@pytest.mark.parametrize("header", HEADERS)
def test_headers_of_a_good_answer(
    source: RawSource, elsewhere: RawSource, here: Path, header: str
) -> None:
    line = header.format(f"{elsewhere.url}/{VICTIM}")
    source.scripts[VICTIM] = sends(answer(kline_zip(VICTIM), "200 OK", line))
    check(source, elsewhere, here)
    assert (here / "out" / VICTIM).exists()


def test_a_cookie_and_a_demand_for_a_password_are_not_answered(
    source: RawSource, here: Path, elsewhere: RawSource
) -> None:
    heads: list[dict[str, str]] = []

    def script(connection: object, request: object) -> bool:
        heads.append(request.headers)  # type: ignore[attr-defined]
        lines = ("Set-Cookie: evil=1", 'WWW-Authenticate: Basic realm="evil"')
        connection.sendall(answer(b"", "401 Unauthorized", *lines))  # type: ignore[attr-defined]
        return True

    source.scripts = dict.fromkeys(KEYS, script)
    for _ in range(2):
        check(source, elsewhere, here)
    assert len(heads) >= 2 * len(KEYS)
    assert not any({"cookie", "authorization"} & head.keys() for head in heads)


def test_the_totals_say_what_was_not_fetched(
    source: RawSource, elsewhere: RawSource, here: Path
) -> None:
    source.scripts[VICTIM] = sends(answer(b"", "302 Found", f"Location: {elsewhere.url}/{VICTIM}"))
    totals = json.loads(collect(source, "--discovery", "calendar").out)["totals"]
    assert (totals["verified"], totals["failed"]) == (len(KEYS) - 1, 1)
