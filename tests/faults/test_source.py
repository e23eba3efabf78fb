"""What a source does to one archive, and that it is told of that archive and harms no other."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from attrs import field, frozen
from tests.workflows.conftest import KEY, SIDECAR, Collection

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.testing import faults
from crypto_lakehouse.testing.faults import Fault
from crypto_lakehouse.testing.made_up.zips import SPOILED, good_zip, spoiled_zip

DAYS = {"date_range": {"start": "2025-07-14", "end": "2025-07-16"}}
OTHERS = [KEY.replace("07-15", day) for day in ("07-14", "07-16")]
NAME = KEY.rpartition("/")[2]
GOOD = good_zip(KEY, b"1,2,3\n" * 50)
DIGEST = hashlib.sha256(GOOD).hexdigest()
NO_HTML = b"<html><body>Service busy</body></html>"

#: Back-off of the collection: this many retries.
RETRIES = 3

#: Connections that three archives at once leave idle, at most.
KEPT = 3

OK = Fault()


@frozen(kw_only=True)
class Case:
    """What is done, and what is to come of it.

    Attributes:
        zip, sidecar: Faults of their requests in turn.
        endless: Whether these begin anew for ever.
        verdict: Of the archive.
        asked: How often zip and sidecar are requested.
        again: How many requests more may go out unseen: where a kept connection ends without an
            answer, the request is sent again at once (RFC 9112, section 9.3.1).
        says: A pattern in the reason.
        config: Configuration beside the usual.
    """

    name: str
    zip: Sequence[Fault] = ()
    sidecar: Sequence[Fault] = ()
    endless: bool = False
    verdict: Verdict = Verdict.VERIFIED
    asked: tuple[int, int] = (1, 1)
    again: int = 0
    says: str = ""
    config: dict[str, object] = field(factory=dict)


def _retried(
    name: str, fault: Fault, says: str, again: int = 0, timeout_s: float = 300
) -> list[Case]:
    """What is tried again: it passes, or it does not, at zip or sidecar."""
    config: dict[str, object] = {"timeout_seconds": timeout_s}
    failed: dict[str, Any] = {
        "verdict": Verdict.FAILED, "endless": True, "says": says, "config": config,
        "again": again,
    }  # fmt: skip
    return [
        Case(name=f"{name}, once", zip=[fault], asked=(2, 1), config=config),
        Case(name=f"{name}, at the sidecar, once", sidecar=[fault], asked=(1, 2), config=config),
        Case(name=f"{name}, for ever", zip=[fault], asked=(1 + RETRIES, 0), **failed),
        Case(
            name=f"{name}, at the sidecar, for ever",
            sidecar=[fault], asked=(1, 1 + RETRIES), **failed,
        ),
    ]  # fmt: skip


def _line() -> list[Case]:
    return [
        *_retried("cut before the head", faults.Cut(), "closed the connection", KEPT),
        *_retried("reset before the head", faults.Reset(), "reset", KEPT),
        *_retried("reset in the body", faults.Reset(at=40), "body ended after .* of"),
        *_retried("truncated", faults.Truncate(at=40), "body ended after 40 of"),
        *_retried("announced too long", faults.Announce(5000), "of 5000 bytes"),
        *_retried("silent before the head", faults.Stall(), "silent for too long", timeout_s=1.5),
        *_retried("silent in the body", faults.Stall(at=40), "silent for too long", timeout_s=1.5),
        *_retried("dripping", faults.Drip(every_s=0.05), "fewer than 100 bytes", timeout_s=1.0),
        *_retried("truncated chunks", faults.Headers({"Transfer-Encoding": "chunked"})
                  & faults.Truncate(at=40), "connection"),
    ]  # fmt: skip


def _statuses() -> list[Case]:
    cases = []
    for status in (403, 408, 429, 500, 502, 503):
        cases += _retried(f"{status}", faults.Status(status), f"answered {status}")
    for status in (401, 410, 418):
        final: dict[str, Any] = {"verdict": Verdict.FAILED, "says": f"answered {status}"}
        fault = faults.Status(status)
        cases.append(Case(name=f"{status}", zip=[fault], asked=(1, 0), **final))
    return cases


def _harmless() -> list[Case]:
    chunked = faults.Headers({"Transfer-Encoding": "chunked"})
    upper = f"{DIGEST.upper()}  {NAME}\n".encode()
    return [
        Case(name="nothing at all"),
        Case(name="chunked", zip=[chunked], sidecar=[chunked]),
        Case(name="no length", zip=[faults.Unannounced()], sidecar=[faults.Unannounced()]),
        # What comes behind an answer may be taken for the next one, which is asked for again.
        Case(name="surplus", zip=[faults.Surplus()], sidecar=[faults.Surplus()], again=KEPT),
        Case(name="hung up", zip=[faults.HangUp()], sidecar=[faults.HangUp()], endless=True),
        Case(name="upper case", sidecar=[faults.Body(upper)]),
        Case(name="CRLF", sidecar=[faults.Body(f"{DIGEST}  {NAME}\r\n".encode())]),
        Case(name="other name in it", sidecar=[faults.Body(f"{DIGEST}  OTHER.zip\n".encode())]),
        Case(name="gone for once", zip=[faults.NotFound()], verdict=Verdict.MISSING, asked=(1, 0),
             says="no such archive"),
        Case(name="no sidecar", sidecar=[faults.NotFound()], verdict=Verdict.SIDECAR_MISSING),
    ]  # fmt: skip


def _bytes() -> list[Case]:
    """What needs a second look: one bad answer is forgiven, two are not."""
    page, cut = faults.Body(NO_HTML), faults.Unannounced() & faults.Truncate(at=60)
    corrupt: dict[str, Any] = {"verdict": Verdict.CORRUPT, "asked": (2, 2)}
    wrong = hashlib.sha256(b"other bytes").hexdigest()
    others = f"{wrong}  {NAME}\n".encode()
    own = f"{DIGEST}  {NAME}\n"
    packed, wide, marked = (
        gzip.compress(own.encode()),
        own.encode("utf-16"),
        own.encode("utf-8-sig"),
    )
    declared = faults.Headers({"Content-Encoding": "gzip"})
    return [
        Case(name="a page, once", zip=[page], asked=(2, 2)),
        Case(name="a page, twice", zip=[page, page], says="not a readable zip", **corrupt),
        Case(name="cut without a length, once", zip=[cut], asked=(2, 2)),
        Case(name="cut without a length, twice", zip=[cut, cut], says="ETag", **corrupt),
        Case(name="announced too short, once", zip=[faults.Announce(60)], asked=(2, 2),
             again=KEPT),
        Case(name="a flipped byte, once", zip=[faults.Flip(50)], asked=(2, 2)),
        Case(name="a flipped byte, twice", zip=[faults.Flip(50)] * 2, says="ETag", **corrupt),
        Case(name="two flipped bytes", zip=[faults.Flip(50), faults.Flip(51)],
             says="different bytes", **corrupt),
        Case(name="gzip, once", zip=[faults.Gzip()], asked=(2, 2)),
        Case(name="gzip, twice", zip=[faults.Gzip()] * 2, says="Content-Encoding: gzip", **corrupt),
        Case(name="gzip, at the sidecar", sidecar=[faults.Gzip()]),
        Case(name="gzip, declared at both, which are as they are",
             zip=[declared], sidecar=[declared]),
        Case(name="gzip, declared at a bad sidecar and its zip", zip=[declared] * 2,
             sidecar=[page & declared] * 2,
             says="CHECKSUM.*page in HTML.*; it was sent with Content-Encoding: gzip, unasked$",
             **corrupt),
        Case(name="gzip, not declared, at the sidecar", sidecar=[faults.Body(packed)] * 2,
             says="CHECKSUM.*compressed with gzip$", **corrupt),
        Case(name="gzip, broken, at the sidecar", sidecar=[faults.Body(packed[:60]) & declared] * 2,
             says="CHECKSUM.*with gzip; it was sent with Content-Encoding: gzip", **corrupt),
        Case(name="UTF-16, at the sidecar", sidecar=[faults.Body(wide)] * 2, says="UTF-16$",
             **corrupt),
        Case(name="a byte-order mark, at the sidecar", sidecar=[faults.Body(marked)]),
        Case(name="sidecar of others, once", sidecar=[faults.Body(others)], asked=(2, 2)),
        Case(name="sidecar of others, twice", sidecar=[faults.Body(others)] * 2, asked=(2, 2),
             verdict=Verdict.UPSTREAM_MISMATCH, says=wrong),
        *(
            Case(name=f"sidecar {name}", sidecar=[faults.Body(body)] * 2, says=says, **corrupt)
            for name, body, says in (
                ("empty", b"", "it is empty"),
                ("of 10 MB", b"a" * 10_000_000, "longer than 4096 bytes"),
                ("binary", b"\xff\xfe\x00\x80", "not text"),
                ("a page", NO_HTML, "a page in HTML"),
                ("of two lines", others + others, "more than one line"),
            )
        ),
    ]  # fmt: skip


def _redirects() -> list[Case]:
    final: dict[str, Any] = {"verdict": Verdict.FAILED, "asked": (1, 0)}
    places = {
        "another host": "https://example.org/x.zip",
        "a file": "file:///etc/passwd",
        "a private address": "http://10.0.0.1/x.zip",
        "the cloud's own": "http://169.254.169.254/latest/meta-data",
        "nowhere": "",
    }
    cases = [
        Case(name=f"to {what}", zip=[faults.Redirect(where)], says="redirect", **final)
        for what, where in places.items()
        if where
    ]
    here = faults.Redirect(f"/{KEY}")
    return [
        *cases,
        Case(name="to itself", zip=[here, here], asked=(3, 1)),
        Case(name="in a loop", zip=[here], endless=True, verdict=Verdict.FAILED, asked=(6, 0),
             says="more than 5 redirects"),
    ]  # fmt: skip


def _retry_after() -> list[Case]:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=7), usegmt=True)
    words = {word: word for word in ("0", "7", "-7", "soon", "1e9", "999999999999")}
    words |= {"a date": soon, "a far date": "Fri, 31 Dec 9999 23:59:59 GMT"}
    return [
        Case(name=f"Retry-After: {name}", zip=[faults.Status(503, retry_after=word)], asked=(2, 1))
        for name, word in words.items()
    ]


CASES = [*_line(), *_statuses(), *_harmless(), *_bytes(), *_redirects(), *_retry_after()]


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param  # type: ignore[no-any-return]


def publish(collection: Collection) -> None:
    for key in (*OTHERS, KEY):
        collection.server.publish(key, good_zip(key, key.encode()))
    collection.server.publish(KEY, GOOD)


async def test_the_archive_alone_suffers_and_is_told_of(collection: Collection, case: Case) -> None:
    publish(collection)
    collection.server.inject(KEY, case.zip, endless=case.endless)
    collection.server.inject(SIDECAR, case.sidecar, endless=case.endless)
    report = await collection.run(**DAYS, **case.config)
    assert report.totals[case.verdict] == (3 if case.verdict is Verdict.VERIFIED else 1)
    assert report.totals["verified"] >= 2
    assert [problem.key for problem in report.problems] == [KEY] * len(report.problems)
    reason = report.problems[0].reason if report.problems else ""
    assert re.search(case.says, reason), reason
    for key, least in zip((KEY, SIDECAR), case.asked, strict=True):
        assert least <= collection.server.count(key) <= least + case.again * (least > 0)
    check_files(collection, case.verdict)


def check_files(collection: Collection, verdict: Verdict) -> None:
    """Nothing unverified is at a final name, and all others are whole."""
    stands = verdict in {Verdict.VERIFIED, Verdict.SIDECAR_MISSING}
    assert collection.path(KEY).exists() == stands
    if stands:
        assert collection.path(KEY).read_bytes() == GOOD
    for key in OTHERS:
        assert collection.path(key).read_bytes() == collection.server.read(key)
    if verdict is not Verdict.FAILED:  # whose beginning the next run goes on with
        assert collection.stray_files() == []
    is_kept = verdict in {Verdict.CORRUPT, Verdict.UPSTREAM_MISMATCH}
    assert collection.quarantined(KEY).exists() == is_kept


@pytest.mark.parametrize("kind", SPOILED)
async def test_a_right_digest_makes_no_archive_of_a_spoiled_zip(
    collection: Collection, kind: str
) -> None:
    publish(collection)
    collection.server.publish(KEY, spoiled_zip(kind, KEY, b"1,2\n" * 50))
    report = await collection.run(**DAYS)
    assert (report.totals["corrupt"], report.totals["verified"]) == (1, 2)
    assert report.problems[0].reason.startswith("the digest is right, but: ")
    assert collection.server.count(KEY) == 1
    check_files(collection, Verdict.CORRUPT)


async def test_an_absurd_retry_after_is_capped_and_none_is_obeyed_to_the_second(
    collection: Collection,
) -> None:
    """All workers that were sent away at one moment must not come back at one moment."""
    publish(collection)
    words = ("10", "999999999999", "0")
    collection.server.inject(KEY, [faults.Status(429, retry_after=word) for word in words])
    await collection.run()
    obeyed, capped, at_once = collection.sleeps.waits
    assert 10.0 <= obeyed <= 11.0
    assert 300.0 <= capped <= 330.0
    assert 0.0 <= at_once <= 0.5


async def test_what_is_re_published_between_zip_and_sidecar_is_fetched_anew(
    collection: Collection,
) -> None:
    publish(collection)
    new = good_zip(KEY, b"new\n")
    digest = hashlib.sha256(new).hexdigest()
    collection.server.inject(KEY, OK, faults.Replace(new))
    collection.server.inject(SIDECAR, faults.Replace(f"{digest}  {NAME}\n".encode()))
    report = await collection.run(**DAYS)
    assert report.totals["verified"] == 3
    assert collection.path(KEY).read_bytes() == new
    assert digest.encode() in collection.path(SIDECAR).read_bytes()


async def test_a_source_that_refuses_connections_fails_every_archive(
    collection: Collection, unused_tcp_port_factory: Callable[[], int]
) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port_factory()}"
    report = await collection.run(**DAYS, source_url=url)
    assert report.totals["failed"] == 3
    assert report.exit_code == 3
    assert all("onnect" in problem.reason for problem in report.problems)
    assert len(collection.sleeps.waits) == 3 * RETRIES


async def test_a_host_without_an_address_fails_every_archive(collection: Collection) -> None:
    report = await collection.run(**DAYS, source_url="https://nowhere.invalid")
    assert report.totals["failed"] == 3
    assert all("nowhere.invalid" in problem.reason for problem in report.problems)
    assert len(collection.sleeps.waits) == 3 * RETRIES


def test_every_case_has_a_name_of_its_own() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
    assert Archive.parse(KEY).sidecar_key == SIDECAR
