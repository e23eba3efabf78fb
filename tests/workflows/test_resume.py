"""A large body goes on where it stopped, if it is still the same object."""

from __future__ import annotations

import pytest
from tests.workflows.conftest import BIG_KEY, Collection, big_zip, sidecar_of

from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.testing import faults

MIB = 1 << 20


@pytest.fixture(autouse=True)
def _trades(collection: Collection) -> None:
    collection.config |= {"data_types": ["trades"], "intervals": None}


def ranges(collection: Collection) -> list[str | None]:
    """The Range headers of the requests for the archive."""
    return [item.range for item in collection.server.requests if item.path == BIG_KEY]


async def test_a_large_body_is_streamed_and_verified(collection: Collection) -> None:
    data = big_zip()
    collection.publish(BIG_KEY, data)
    report = await collection.run()
    assert report.totals["verified"] == 1
    assert collection.path(BIG_KEY).read_bytes() == data
    assert collection.stray_files() == []


async def test_a_cut_body_is_resumed_in_the_same_run(collection: Collection) -> None:
    data = big_zip()
    collection.publish(BIG_KEY, data)
    collection.server.inject(BIG_KEY, faults.Truncate(at=2_500_000))
    report = await collection.run()
    assert report.totals["verified"] == 1
    assert collection.path(BIG_KEY).read_bytes() == data
    first, second = ranges(collection)
    assert first is None
    assert second is not None
    assert MIB <= int(second.removeprefix("bytes=").removesuffix("-")) <= 2_500_000
    resumed = next(item for item in collection.server.requests if item.range)
    assert resumed.status == 206
    assert resumed.headers["If-Range"].startswith('"')


async def test_a_cut_body_is_resumed_by_the_next_run(collection: Collection) -> None:
    data = big_zip()
    collection.publish(BIG_KEY, data)
    collection.server.inject(BIG_KEY, faults.Truncate(at=2_500_000))
    report = await collection.run(retry=RetryPolicy(max_retries=0))
    assert report.totals["failed"] == 1
    assert collection.path(BIG_KEY + ".part").stat().st_size >= MIB
    report = await collection.run()
    assert report.totals["verified"] == 1
    assert report.bytes < 2_500_000
    assert collection.path(BIG_KEY).read_bytes() == data
    assert collection.stray_files() == []


async def test_an_object_that_changed_is_fetched_from_its_beginning(
    collection: Collection,
) -> None:
    old, new = big_zip(), big_zip(4_000_000)
    collection.publish(BIG_KEY, old)
    collection.server.inject(BIG_KEY, faults.Truncate(at=2_500_000))
    await collection.run(retry=RetryPolicy(max_retries=0))
    collection.publish(BIG_KEY, new)
    report = await collection.run()
    assert report.totals["verified"] == 1
    assert collection.path(BIG_KEY).read_bytes() == new


async def test_a_range_of_another_object_is_not_appended(collection: Collection) -> None:
    """A source that ignores If-Range and sends the rest of something else."""
    data = big_zip()
    collection.publish(BIG_KEY, data)
    collection.server.inject(
        BIG_KEY, faults.Truncate(at=2_500_000), faults.Headers({"ETag": '"another"'})
    )
    report = await collection.run()
    assert report.totals["verified"] == 1
    assert collection.path(BIG_KEY).read_bytes() == data
    assert [bool(item) for item in ranges(collection)] == [False, True, False]


@pytest.mark.parametrize(
    "content_range",
    [
        "bytes 7-9/10",
        "nonsense",
        f"bytes {'9' * 5_000}-{'9' * 5_000}/*",
        f"bytes 0-{'9' * 5_000}/*",
        f"bytes 0-9/{'9' * 5_000}",
        f"bytes 0-{2**63 - 1}/*",
    ],
)
async def test_a_wrong_range_is_not_appended(collection: Collection, content_range: str) -> None:
    data = big_zip()
    collection.publish(BIG_KEY, data)
    collection.server.inject(
        BIG_KEY, faults.Truncate(at=2_500_000), faults.Headers({"Content-Range": content_range})
    )
    report = await collection.run()
    assert report.totals["verified"] == 1
    assert collection.path(BIG_KEY).read_bytes() == data


async def test_a_range_that_cannot_be_had_means_a_fresh_start(collection: Collection) -> None:
    data = big_zip()
    collection.publish(BIG_KEY, data)
    collection.server.inject(BIG_KEY, faults.Truncate(at=2_500_000), faults.Status(416))
    report = await collection.run()
    assert report.totals["verified"] == 1
    assert [bool(item) for item in ranges(collection)] == [False, True, False]


async def test_a_whole_part_needs_no_request_for_its_body(collection: Collection) -> None:
    """The body was whole and its sidecar could not be had: only the sidecar is missing."""
    data = big_zip()
    collection.publish(BIG_KEY, data)
    collection.server.inject(BIG_KEY + ".CHECKSUM", faults.Status(503))
    report = await collection.run(retry=RetryPolicy(max_retries=0))
    assert report.totals["failed"] == 1
    assert not collection.path(BIG_KEY).exists()
    collection.server.clear()
    report = await collection.run()
    assert report.totals["verified"] == 1
    assert collection.requested() == [BIG_KEY + ".CHECKSUM"]


async def test_without_a_validator_nothing_is_resumed(collection: Collection) -> None:
    data = big_zip()
    collection.publish(BIG_KEY, data)
    blank = faults.Headers({"ETag": None, "Last-Modified": None})
    collection.server.inject(BIG_KEY, faults.Truncate(at=2_500_000) & blank)
    report = await collection.run()
    assert report.totals["verified"] == 1
    assert ranges(collection) == [None, None]


async def test_a_weak_etag_resumes_by_date(collection: Collection) -> None:
    data = big_zip()
    collection.publish(BIG_KEY, data)
    weak = faults.Headers({"ETag": 'W/"abc"'})
    collection.server.inject(BIG_KEY, faults.Truncate(at=2_500_000) & weak, weak)
    report = await collection.run()
    assert report.totals["verified"] == 1
    resumed = next(item for item in collection.server.requests if item.range)
    assert resumed.headers["If-Range"].endswith("GMT")


async def test_a_part_that_is_gone_means_a_fresh_start(collection: Collection) -> None:
    data = big_zip()
    collection.publish(BIG_KEY, data)
    collection.server.inject(BIG_KEY, faults.Truncate(at=2_500_000))
    await collection.run(retry=RetryPolicy(max_retries=0))
    collection.path(BIG_KEY + ".part").unlink()
    report = await collection.run()
    assert report.totals["verified"] == 1


async def test_damaged_bytes_in_a_part_are_found_and_fetched_again(
    collection: Collection,
) -> None:
    data = big_zip()
    collection.publish(BIG_KEY, data)
    collection.server.inject(BIG_KEY, faults.Truncate(at=2_500_000))
    await collection.run(retry=RetryPolicy(max_retries=0))
    part = collection.path(BIG_KEY + ".part")
    part.write_bytes(b"\0" * part.stat().st_size)
    report = await collection.run()
    assert report.totals["verified"] == 1
    assert collection.path(BIG_KEY).read_bytes() == data


async def test_a_capped_run_still_verifies(collection: Collection) -> None:
    data = big_zip(1_200_000)
    collection.publish(BIG_KEY, data, sidecar_of(data, "x"))
    report = await collection.run(max_bytes_per_second=100_000_000)
    assert report.totals["verified"] == 1


async def test_a_body_of_unknown_length_is_streamed(collection: Collection) -> None:
    data = big_zip(200_000)
    collection.publish(BIG_KEY, data)
    collection.server.inject(BIG_KEY, faults.Headers({"Transfer-Encoding": "chunked"}))
    report = await collection.run()
    assert report.totals["verified"] == 1
    assert collection.path(BIG_KEY).read_bytes() == data


async def test_a_body_of_unknown_length_whose_end_is_not_told_needs_no_other_try(
    collection: Collection,
) -> None:
    """All of it is here, but only an answer that there is no more says so."""
    data = big_zip()
    collection.publish(BIG_KEY, data)
    chunked = faults.Headers({"Transfer-Encoding": "chunked"})
    collection.server.inject(BIG_KEY, chunked & faults.Truncate(at=len(data)))
    report = await collection.run(retry=RetryPolicy(max_retries=1))
    assert report.totals["verified"] == 1
    assert ranges(collection) == [None, f"bytes={len(data)}-"]
    assert collection.path(BIG_KEY).read_bytes() == data
