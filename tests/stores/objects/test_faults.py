"""An object store that fails: a clear error, nothing lost, and the next run completes.

A real server is behind a proxy, which answers in its place.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from attrs import evolve
from tests.services.bucket import Bucket
from tests.services.fault_proxy import Answer, Fault, Forward, behind_faults, error
from tests.stores.objects.scene import LARGE, SMALL, Scene, large_source, on

from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.stores.objects import opening
from crypto_lakehouse.testing import ArchiveServer, faults

SIGNED = (
    "see https://archive.example/x?X-Amz-Credential=testkey%2F2025&X-Amz-Signature=5ec2e7 "
    "or sig=5ec2e7&AWSAccessKeyId=testkey for more; testsecret of testkey, or https://me:5ec2e7@x"
)
SECRETS = ("testsecret", "5ec2e7", "X-Amz", "testkey")
EVERY = ("put", "begin", "part", "complete", "list", "head", "get", "copy", "delete", "abort")


@pytest.fixture(scope="module")
def source() -> Iterator[ArchiveServer]:
    with large_source() as server:
        yield server


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client tries as often as it does, and waits less."""
    backoff = {
        "init_backoff": timedelta(milliseconds=1),
        "max_backoff": timedelta(milliseconds=4),
        "base": 2,
    }
    monkeypatch.setitem(opening._RETRIES, "backoff", backoff)


@pytest.fixture
def scene(
    source: ArchiveServer,
    ministack_bucket: Bucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Scene]:
    ministack_bucket.give_credentials(monkeypatch)
    source.clear()
    with behind_faults(ministack_bucket) as (proxy, bucket):
        url = ministack_bucket.fresh_prefix()
        yield Scene(source, proxy, ministack_bucket, bucket, url, tmp_path / "state")


def lose(forward: Forward) -> None:
    """Do what was asked, and say nothing."""
    forward()


def drop(_forward: Forward) -> None:
    """Do nothing, and say nothing."""


def hang(scene: Scene) -> Callable[[Forward], None]:
    def wait(_forward: Forward) -> None:
        scene.proxy.ended.wait()

    return wait


def with_etag(etag: str | None) -> Callable[[Forward], Answer]:
    def answer(forward: Forward) -> Answer:
        got = forward()
        headers = {name: value for name, value in got.headers.items() if name.lower() != "etag"}
        return evolve(got, headers={**headers, **({"ETag": etag} if etag else {})})

    return answer


def has_no_secret(text: str) -> bool:
    return not any(secret in text for secret in SECRETS)


def uploads(scene: Scene) -> list[str]:
    """The keys of uploads under way below the output, as the server knows them."""
    connection = HTTPConnection(urlsplit(scene.proxy.upstream).netloc)
    connection.request("GET", "/archive?uploads")
    text = connection.getresponse().read().decode()
    connection.close()
    prefix = scene.url.removeprefix("s3://archive/")
    return [key for key in re.findall(r"<Key>([^<]*)</Key>", text) if key.startswith(prefix)]


#: What the keys of archives contain.
DATA = "/data/"

STOPPED: dict[str, tuple[Fault, str]] = {
    "no bucket": (
        on(EVERY, error(404, "NoSuchBucket", SIGNED)),
        r"/data/`: 404 NoSuchBucket \(.*\); create it, or correct its name in the URL, and",
    ),
    "wrong secret": (
        on(EVERY, error(403, "SignatureDoesNotMatch", SIGNED)),
        r"/data/`: 403 SignatureDoesNotMatch \(.*\); renew the credentials",
    ),
    "expired credentials": (
        on(EVERY, error(403, "ExpiredToken", SIGNED)),
        r"/data/`: 403 ExpiredToken \(.*\); renew the credentials",
    ),
    "credentials that expire in a run": (
        on(
            ("put", "begin", "part", "complete"),
            error(403, "ExpiredToken", SIGNED),
            first=4,
            of=DATA,
        ),
        r"/data/spot/.*`: 403 ExpiredToken \(.*\); renew the credentials",
    ),
    "no right to list": (
        on(("list",), error(403, "AccessDenied", SIGNED)),
        r"/data/`: 403 AccessDenied \(.*\); give these credentials the right to list, read",
    ),
    "no right to write": (
        on(("put", "begin"), error(403, "AccessDenied", SIGNED), of=DATA),
        r"/data/spot/.*`: 403 AccessDenied \(.*\); give these credentials the right to list, read",
    ),
    "no right to write anything": (
        on(("put", "begin"), error(403, "AccessDenied", SIGNED)),
        r"/.lakehouse/.*`: 403 AccessDenied \(.*\); give these credentials the right to list, read",
    ),
    "no right, in an answer without a body": (
        on(("head",), Answer(403, {}), of=DATA),
        r"trades-2025-03-01.zip`: 403 Forbidden; renew the credentials .*; or give these",
    ),
    "a clock that is wrong": (
        on(EVERY, error(403, "RequestTimeTooSkewed", SIGNED)),
        r"/data/`: 403 RequestTimeTooSkewed \(.*\); correct the clock of this machine",
    ),
    "another region": (
        on(EVERY, error(301, "PermanentRedirect", SIGNED)),
        r"/data/`: the bucket is in another region; set `storage: {region: ...}` to the region of",
    ),
    "slow down, for ever": (
        on(("put", "part"), error(503, "SlowDown", SIGNED), of=DATA),
        r"/data/spot/.*`: 503 SlowDown \(.*\); lower `max_parallel_downloads`, and run again",
    ),
    "an error inside, for ever": (
        on(("complete",), error(500, "InternalError", SIGNED)),
        r"trades-2025-03-01.zip`: 500 InternalError \(.*\); run again later",
    ),
    "an error in an answer of 200": (
        on(("complete",), evolve(error(500, "InternalError", SIGNED), status=200)),
        r"trades-2025-03-01.zip`: 500 InternalError \(.*\); run again later",
    ),
    "no ETag of a body": (
        on(("put",), with_etag(None), of=DATA),
        r"`: the store sends no ETag, .* use a",
    ),
    "no ETag of a part": (on(("part",), with_etag(None)), r"`: the store sends no ETag, .* use a"),
    "no ETag of an object": (
        on(("head",), with_etag(None), of=DATA),
        r"`: the store sends no ETag, .* use",
    ),
    "parts that are dropped": (
        on(("part",), drop),
        r"trades-2025-03-01.zip`: it cannot be reached, or does not answer; run again later",
    ),
    "all that is dropped": (on(EVERY, drop), r"/data/`: it cannot be reached, or does not answer"),
}


@pytest.mark.parametrize("name", STOPPED)
async def test_what_concerns_every_archive_ends_the_run(name: str, scene: Scene) -> None:
    scene.proxy.fault, wanted = STOPPED[name]
    with pytest.raises(StoreError) as caught:
        await scene.collect()
    text = str(caught.value)
    assert re.search(wanted, text), text
    assert "\n" not in text
    assert has_no_secret(text), text
    scene.check_stored()
    await scene.complete()


FAILED: dict[str, tuple[Fault, str]] = {
    "a condition that never holds": (
        on(("put",), error(412, "PreconditionFailed", SIGNED), of=SMALL[0]),
        "the store has refused 5 writes",
    ),
    "a wrong ETag of a part": (on(("part",), with_etag('"wrong"')), r"`: 400 InvalidPart \("),
    "a part that is refused": (
        on(("part",), error(400, "BadDigest", SIGNED)),
        r"`: 400 BadDigest \(",
    ),
}


@pytest.mark.parametrize("name", FAILED)
async def test_what_concerns_an_archive_is_its_verdict(name: str, scene: Scene) -> None:
    scene.proxy.fault, wanted = FAILED[name]
    report = await scene.collect()
    (problem,) = [problem for problem in report.problems if problem.verdict == "failed"]
    assert report.totals["verified"] == 3
    assert re.search(wanted, problem.reason), problem.reason
    assert has_no_secret(json.dumps(report.to_mapping()))
    scene.check_stored()
    assert uploads(scene) == []
    await scene.complete()


PASSED: dict[str, Fault] = {
    "slow down, twice": on(EVERY, error(503, "SlowDown"), last=2),
    "slow down, twice for each kind": on(("put", "part"), error(503, "SlowDown"), last=2, of=DATA),
    "a part that is dropped": on(("part",), drop, first=2, last=2),
    "a body whose answer is lost": on(("put",), lose, last=1, of=DATA),
    "an upload whose answer is lost": on(("begin",), lose, last=1),
    "a completion whose answer is lost": on(("complete",), lose, last=1),
    "a wrong ETag of a body": on(("put",), with_etag('"wrong"'), of=DATA),
    "no right to delete": on(("delete", "abort"), error(403, "AccessDenied")),
}


@pytest.mark.parametrize("name", PASSED)
async def test_what_passes_or_does_not_matter_is_passed_over(name: str, scene: Scene) -> None:
    scene.proxy.fault = PASSED[name]
    report = await scene.collect()
    assert report.status == "complete", report
    scene.check_stored()
    await scene.complete()


async def test_a_part_without_an_answer_is_sent_again(scene: Scene) -> None:
    scene.proxy.fault = on(("part",), hang(scene), last=1)
    report = await scene.collect(timeout_seconds=5)
    assert report.status == "complete", report
    scene.check_stored()
    assert len([request for request in scene.proxy.requests if request.kind == "part"]) == 4


async def test_a_store_that_hangs_ends_the_run(scene: Scene) -> None:
    scene.proxy.fault = on(EVERY, hang(scene))
    with pytest.raises(StoreError, match="/data/`: it cannot be reached, or does not answer"):
        await scene.collect(timeout_seconds=1)
    await scene.complete()


async def test_without_the_right_to_delete_a_second_download_stays_in_quarantine_too(
    scene: Scene,
) -> None:
    scene.source.inject(LARGE, faults.Flip(at=5_000_000))
    scene.proxy.fault = on(("delete",), error(403, "AccessDenied", SIGNED))
    with pytest.raises(StoreError, match=r"403 AccessDenied \(.*\); give these credentials"):
        await scene.collect()
    scene.check_stored()
    await scene.complete()


def test_a_refusal_of_a_real_server_shows_no_secret(
    source: ArchiveServer, rclone_bucket: Bucket, tmp_path: Path
) -> None:
    wrong = evolve(
        rclone_bucket,
        environment={**rclone_bucket.environment, "AWS_SECRET_ACCESS_KEY": "5ec2e7-and-more"},
    )
    with behind_faults(wrong) as (proxy, bucket), bucket.credentials():
        scene = Scene(source, proxy, wrong, bucket, bucket.fresh_prefix(), tmp_path / "state")
        (tmp_path / "run.json").write_text(json.dumps(scene.config()))
        command = [sys.executable, "-m", "crypto_lakehouse", "collect", "--config"]
        done = subprocess.run(
            [*command, str(tmp_path / "run.json")], check=False, capture_output=True, text=True
        )
    assert done.returncode == 2
    assert "403 SignatureDoesNotMatch" in done.stderr
    assert "renew the credentials" in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 4, done.stderr
    assert has_no_secret(done.stdout + done.stderr), done
