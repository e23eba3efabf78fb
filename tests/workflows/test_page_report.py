"""The page of an output agrees with `status`, and is written whole or not at all."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.tables.sample_data import text_of
from tests.workflows.conftest import KEY, Collection, make_zip
from tests.workflows.lakes import ingested

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import ConfigurationError
from crypto_lakehouse.testing import faults
from crypto_lakehouse.workflows import run_page_report, run_status

NOW = datetime(2025, 7, 20, 12, tzinfo=UTC)


async def test_the_figures_are_those_of_status(collection: Collection, tmp_path: Path) -> None:
    collection.server.inject("*2025-07-17*", faults.Status(404), endless=True)
    days = {"start": "2025-07-15", "end": "2025-07-17"}
    await collection.run(default_date=None, date_range=days, max_retries=0)
    output = {"output_directory": str(collection.root)}
    file = tmp_path / "page.html"
    report = await run_page_report(output, file, now=NOW)
    status = await run_status(output)
    assert report.totals == status.totals
    assert (report.path, report.size_bytes) == (file, file.stat().st_size)
    assert (report.left_out, report.notes) == (0, status.notes)
    text = re.sub(r"<style>.*?</style>|<[^>]*>", "\n", file.read_text(), flags=re.DOTALL)
    lines = "|".join(filter(None, map(str.strip, text.split("\n"))))
    assert status.totals.verdicts == {"verified": 2, "missing": 1}
    for shown in (
        f"|{collection.root}|",
        "|complete|66.66 %|verified days|2|of 3|open days|1|missing, and not filled|series|1|",
        "|klines|spot|2025-07-16|84 h ago|1 day|",  # freshness
        "|missing|absent at the source, although it should be there|1|–|",
        "|verified|2|missing|1|",
        "|archive collection|partial|3|",
        "|klines|spot|2025-07-15|to|2025-07-16|–|–|",  # origins
    ):
        assert shown in lines, shown
    assert "Quality findings" not in lines
    assert [each.name for each in tmp_path.glob("*page*")] == ["page.html"]
    old = await run_page_report(
        {**output, "freshness": {"*": "84h", "futures_um/*": "1h"}}, file, now=NOW
    )
    assert old.totals == status.totals
    assert "ended 84.0 h ago" not in file.read_text(), "it may be of that age"
    stale = {**output, "freshness": {"spot/klines": "83h", "options/BVOLIndex": "2d"}}
    await run_page_report(stale, file, now=NOW)
    groups = (await run_status(stale, now=NOW)).stale
    assert groups is not None
    assert len(groups) == 2
    assert all(f"<li>{group}</li>" in file.read_text() for group in groups)
    selected = await run_page_report(output, file, start="2025-07-16", end="2025-07-16")
    assert selected.totals.expected_days == 1


async def test_a_file_that_cannot_be_written_is_refused_with_all_other_faults(
    tmp_path: Path,
) -> None:
    output = {"output_directory": str(tmp_path / "nothing")}
    for path, reason in (
        (tmp_path, "it is a directory"),
        (tmp_path / "none" / "page.html", "No such file or directory"),
        (tmp_path / "a\0b", "null"),
        (tmp_path / ("n" * 300), "File name too long"),
    ):
        with pytest.raises(ConfigurationError, match=reason) as raised:
            await run_page_report(output, path)
        assert [each.path for each in raised.value.problems] == [str(path), "$.output_directory"]
    with pytest.raises(ConfigurationError, match="is not a directory"):
        await run_page_report(output, tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


async def test_what_checks_have_found_in_the_lake_is_summed_up(
    collection: Collection, tmp_path: Path
) -> None:
    archive = Archive.parse(KEY)
    lines = text_of(archive).splitlines(keepends=True)
    for day, more in (("15", lines[-1]), ("16", "")):
        of = Archive.parse(KEY.replace("-15.zip", f"-{day}.zip"))
        text = "".join([*text_of(of).splitlines(keepends=True), more])
        collection.publish(of.key, make_zip(of.member, text.encode()))
    days = {"start": "2025-07-15", "end": "2025-07-16"}
    await collection.run(default_date=None, date_range=days)
    await ingested(collection.root)
    file = tmp_path / "page.html"
    await run_page_report({"output_directory": str(collection.root)}, file)
    text = file.read_text()
    assert re.search(r"Quality findings</h2>.*<code>duplicates</code><small>spot.klines<", text)
    assert len(re.findall(r"<code>", text)) == 1, "of two archives one has a finding"
