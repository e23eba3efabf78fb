"""Holes that the user knows do not make a run fail; everything else still does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.workflows.conftest import KEY, Collection, make_zip, member_of, sidecar_of

from crypto_lakehouse.core import ConfigurationError, Verdict
from crypto_lakehouse.sinks.jsonl import JsonLinesSink
from crypto_lakehouse.testing.faults import Status

OTHER = KEY.replace("07-15", "07-16")


@pytest.fixture
def two_days(collection: Collection) -> Collection:
    """Two days, of which the source lacks the first."""
    del collection.config["default_date"]
    collection.config |= {
        "date_range": {"start": "2025-07-15", "end": "2025-07-16"},
        "partitions": ["daily"],
    }
    collection.publish(OTHER, make_zip(member_of(OTHER), b"1,2,3\n"))
    for key in (KEY, f"{KEY}.CHECKSUM"):
        collection.server.remove(key)
    return collection


@pytest.mark.parametrize("by", ["calendar", "listing"])
@pytest.mark.parametrize("processes", [1, 2])
async def test_a_known_hole_is_counted_apart_and_ends_no_run_with_3(
    two_days: Collection, by: str, processes: int, tmp_path: Path
) -> None:
    changes: dict[str, Any] = {"discovery": by, "processes": processes}
    if by == "listing":
        changes["listing_url"] = two_days.server.url
    assert (await two_days.run(**changes)).exit_code == 3
    events = tmp_path / "events.jsonl"
    report = await two_days.run(**changes, acknowledge=[KEY], sinks=[JsonLinesSink(events)])
    assert (report.exit_code, report.strict_exit_code, report.status) == (0, 0, "complete")
    assert (report.totals[Verdict.MISSING], report.acknowledged) == (1, {Verdict.MISSING: 1})
    assert (report.success_rate, report.problems) == (100.0, ())
    assert report.to_mapping()["acknowledged"] == 1
    records = [json.loads(line) for line in events.read_text().splitlines()]
    assert [(item["key"], item.get("acknowledged")) for item in records] == [
        (OTHER, None), (KEY, True),
    ] or [item["key"] for item in records if item.get("acknowledged")] == [KEY]  # fmt: skip
    if by == "calendar":
        assert KEY in two_days.requested()  # it is asked for all the same


async def test_another_hole_still_ends_the_run_with_3(two_days: Collection) -> None:
    two_days.server.remove(OTHER)
    report = await two_days.run(acknowledge=[KEY])
    assert (report.exit_code, report.status) == (3, "failed")
    assert [problem.key for problem in report.problems] == [OTHER]
    assert (await two_days.run(acknowledge=["data/spot/daily/klines/*.zip"])).exit_code == 0


async def test_a_damaged_archive_may_be_known_too(two_days: Collection) -> None:
    two_days.publish(KEY, b"no zip")
    assert (await two_days.run()).exit_code == 4
    report = await two_days.run(acknowledge=[KEY])
    assert (report.exit_code, report.acknowledged) == (0, {Verdict.CORRUPT: 1})
    two_days.publish(KEY, make_zip(member_of(KEY), b"1\n"), sidecar_of(b"other", "BTCUSDT"))
    report = await two_days.run(acknowledge=[KEY])
    assert (report.strict_exit_code, report.acknowledged) == (0, {Verdict.UPSTREAM_MISMATCH: 1})
    assert (await two_days.run()).strict_exit_code == 3


async def test_a_source_that_cannot_be_reached_is_never_acknowledged(two_days: Collection) -> None:
    two_days.server.inject(KEY, Status(503), endless=True)
    report = await two_days.run(acknowledge=[KEY])
    assert (report.exit_code, report.acknowledged) == (3, {})
    assert report.totals[Verdict.FAILED] == 1


async def test_a_refused_newer_version_is_news(two_days: Collection) -> None:
    two_days.publish(KEY, make_zip(member_of(KEY), b"1\n"))
    listing = {"discovery": "listing", "listing_url": two_days.server.url}
    await two_days.run(**listing)
    two_days.publish(KEY, b"no zip")
    report = await two_days.run(**listing, acknowledge=[KEY])
    assert (report.exit_code, report.acknowledged) == (4, {})


async def test_an_archive_that_arrives_is_collected_and_its_acknowledgement_can_go(
    two_days: Collection,
) -> None:
    await two_days.run(acknowledge=[KEY])
    two_days.publish(KEY, make_zip(member_of(KEY), b"1,2,3\n"))
    for verdict in (Verdict.VERIFIED, Verdict.UNCHANGED):
        report = await two_days.run(acknowledge=[KEY])
        assert (report.totals[verdict] >= 1, report.acknowledged) == (True, {})
        (warning,) = report.warnings
        assert warning.startswith(f"acknowledged, and verified now: {KEY};")


async def test_a_file_has_one_key_or_glob_in_a_line(two_days: Collection, tmp_path: Path) -> None:
    path = tmp_path / "holes.txt"
    text = f"\ufeff# known since 2025\r\n\r\n  {KEY}  # gone\r\ndata/futures/um/*.zip\r\n"
    path.write_text(text, encoding="utf-8", newline="")
    report = await two_days.run(holes_path=str(path))
    assert (report.exit_code, report.acknowledged) == (0, {Verdict.MISSING: 1})


async def test_every_wrong_line_is_named_and_nothing_is_requested(
    two_days: Collection, tmp_path: Path
) -> None:
    path = tmp_path / "holes.txt"
    path.write_text(f"{KEY}\nBTCUSDT\n\ndata/spott/*.zip\n")
    with pytest.raises(ConfigurationError) as refused:
        await two_days.run(holes_path=str(path))
    assert [str(problem).partition(" is not")[0] for problem in refused.value.problems] == [
        f"$.holes_path: `{path}`, line 2: `BTCUSDT`",
        f"$.holes_path: `{path}`, line 4: `data/spott/*.zip`",
    ]
    assert two_days.requested() == []
    assert not two_days.root.exists()


async def test_many_wrong_lines_are_named_in_part(two_days: Collection, tmp_path: Path) -> None:
    path = tmp_path / "holes.txt"
    path.write_text("x\n" * 30)
    with pytest.raises(ConfigurationError) as refused:
        await two_days.run(holes_path=str(path))
    assert len(refused.value.problems) == 21
    assert f"30 lines of `{path}` are wrong in all" in str(refused.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe", "folder"])
async def test_a_file_that_cannot_be_read_is_refused(
    two_days: Collection, tmp_path: Path, content: bytes | str | None
) -> None:
    path = tmp_path / "holes.txt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        path.mkdir()
    with pytest.raises(ConfigurationError, match=r"holes_path.*holes\.txt` cannot be read: "):
        await two_days.run(holes_path=str(path))


async def test_a_wrong_key_is_refused_with_all_other_faults(two_days: Collection) -> None:
    with pytest.raises(ConfigurationError) as refused:
        await two_days.run(acknowledge=["BTCUSDT", KEY], max_retries=-1)
    assert {problem.path for problem in refused.value.problems} == {
        "$.acknowledge",
        "$.max_retries",
    }


async def test_only_what_failed_is_acknowledged_in_the_same_way(two_days: Collection) -> None:
    await two_days.run()
    report = await two_days.run(only="failed", acknowledge=[KEY, OTHER])
    assert (report.exit_code, report.acknowledged) == (0, {Verdict.MISSING: 1})
