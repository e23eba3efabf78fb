"""What a source does to a large body while it is gone on with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from tests.workflows.conftest import BIG_KEY, Collection, big_zip

from crypto_lakehouse.testing import faults
from crypto_lakehouse.testing.faults import Fault

#: Behind the first MiB, so that a part holds something.
CUT = faults.Truncate(at=2_500_000)
RESET = faults.Reset(at=2_500_000)

NAME = BIG_KEY.rpartition("/")[2]


@pytest.fixture(autouse=True)
def _trades(collection: Collection) -> None:
    collection.config |= {"data_types": ["trades"], "intervals": None}


SECOND: dict[str, Callable[[], Fault]] = {
    "another range": lambda: faults.OtherRange(by=1),
    "an earlier range": lambda: faults.OtherRange(by=-1000),
    "a range without its place": lambda: faults.Headers({"Content-Range": None}),
    "another ETag": lambda: faults.Headers({"ETag": '"0123456789abcdef0123456789abcdef"'}),
    "no ETag": lambda: faults.Headers({"ETag": None}),
    "another cut": lambda: faults.Truncate(at=400_000),
    "a reset": lambda: faults.Reset(at=400_000),
    "a reset at once": lambda: faults.Reset(at=0),
    "surplus": lambda: faults.Surplus(b"junk" * 1000),
    "no length": faults.Unannounced,
    "a refusal": lambda: faults.Status(503),
    "no such range": lambda: faults.Status(416),
    "a length that is too large": lambda: faults.Announce(3_000_000),
    "a length that is too small": lambda: faults.Announce(100_000),
    "a flipped byte in the rest": lambda: faults.Flip(at=3_000_000),
    "compressed": faults.Gzip,
}


@pytest.mark.parametrize("first", [CUT, RESET], ids=["cut", "reset"])
@pytest.mark.parametrize("second", SECOND)
async def test_whatever_comes_when_it_goes_on_the_bytes_are_the_published_ones(
    collection: Collection, first: Fault, second: str
) -> None:
    data = big_zip()
    collection.publish(BIG_KEY, data)
    collection.server.inject(BIG_KEY, first, SECOND[second]())
    report = await collection.run()
    assert report.totals["verified"] == 1, report.problems
    assert collection.path(BIG_KEY).read_bytes() == data
    assert collection.stray_files() == []


@pytest.mark.parametrize("size", [3_500_000, 2_000_000, 5_000_000])
async def test_what_is_re_published_while_it_goes_on_is_fetched_from_its_beginning(
    collection: Collection, size: int
) -> None:
    collection.publish(BIG_KEY, big_zip())
    new = big_zip(size)
    line = f"{hashlib.sha256(new).hexdigest()}  {NAME}\n".encode()
    collection.server.inject(BIG_KEY, CUT, faults.Replace(new))
    collection.server.inject(BIG_KEY + ".CHECKSUM", faults.Replace(line))
    report = await collection.run()
    assert report.totals["verified"] == 1, report.problems
    assert collection.path(BIG_KEY).read_bytes() == new
    assert collection.stray_files() == []


async def test_a_body_that_changes_at_every_try_has_failed(collection: Collection) -> None:
    versions = [big_zip(3_500_000 + 1000 * number) for number in range(6)]
    collection.publish(BIG_KEY, versions[0])
    for version in versions[1:]:
        collection.server.inject(BIG_KEY, CUT & faults.Replace(version))
    report = await collection.run()
    assert report.totals["failed"] == 1
    assert not collection.path(BIG_KEY).exists()
