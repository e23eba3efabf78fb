"""Validating a tree: every archive is judged, nothing is changed."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.tables.sample_data import archive_of, bars, days, every_schema, put, text_of
from tests.workflows.lakes import FIRST, tree

from crypto_lakehouse.core.errors import ConfigurationError, ExtraMissing
from crypto_lakehouse.core.file_identity import FileIdentity
from crypto_lakehouse.stores.local_files import LocalFiles
from crypto_lakehouse.tables.quality.findings import Policy, ValidationReport
from crypto_lakehouse.workflows import LakeConfig, ValidationWorkflow
from crypto_lakehouse.workflows.proving import StoredZip
from crypto_lakehouse.workflows.validation import _shares
from crypto_lakehouse.workflows.wiring import needed_packages as module


async def validated(root: Path, **config: Any) -> ValidationReport:
    workflow = ValidationWorkflow(LakeConfig(output_directory=str(root), **config))
    report = (await workflow.run()).report
    assert isinstance(report, ValidationReport)
    return report


def contents(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


async def test_a_good_tree_is_found_good_and_left_alone(tmp_path: Path) -> None:
    tree(tmp_path)
    before = contents(tmp_path)
    report = await validated(tmp_path)
    assert dict(report.verdicts) == {"good": 3}
    assert report.rows == 72
    assert report.as_dict()["problems"] == []
    assert contents(tmp_path) == before


async def test_every_type_is_validated(tmp_path: Path) -> None:
    keys = sorted(put(tmp_path, archive_of(schema)).archive.key for schema in every_schema())
    report = await validated(tmp_path)
    assert [each.key for each in report.archives] == keys
    assert "error" not in report.verdicts
    assert "unreadable" not in report.verdicts


def test_large_archives_are_read_a_few_at_a_time(tmp_path: Path) -> None:
    """A run that is stopped waits for the archives that are being read."""

    def stored(day: date, size: int | None) -> StoredZip:
        identity = None if size is None else FileIdentity(size, 0)
        return StoredZip(bars(day), LocalFiles(tmp_path), "", identity=identity)

    for size, shares in ((1000, [64, 36]), (None, [64, 36]), (20 << 20, [2] * 50)):
        zips = (stored(day, size) for day in days(FIRST, 100))
        assert [len(share) for share in _shares(zips)] == shares


async def test_each_archive_has_a_verdict(tmp_path: Path) -> None:
    good, absurd, holed, broken, unproven = (bars(day) for day in days(FIRST, 5))
    put(tmp_path, good)
    lines = text_of(absurd).splitlines(keepends=True)
    first = lines[0].split(",")
    first[2] = "0.5"
    put(tmp_path, absurd, "".join([",".join(first), *lines[1:]]))
    lines = text_of(holed).splitlines(keepends=True)
    put(tmp_path, holed, "".join([*lines[:5], *lines[6:9], *lines[11:]]))
    put(tmp_path, broken, "1,2,3\n")
    put(tmp_path, unproven)
    (tmp_path / unproven.sidecar_key).unlink()
    report = await validated(tmp_path)
    verdicts = {each.key: each.verdict for each in report.archives}
    assert verdicts[good.key] == "good"
    assert verdicts[absurd.key] == "error"
    assert verdicts[holed.key] == "warning"
    assert verdicts[broken.key] == verdicts[unproven.key] == "unreadable"
    plain = report.as_dict()
    assert plain["verdicts"] == {"error": 1, "good": 1, "unreadable": 2, "warning": 1}
    assert plain["checks"]["continuity"] == {"archives": 1, "rows": 3}
    assert [each["key"] for each in plain["problems"]] == sorted(set(verdicts) - {good.key})


async def test_policies_are_told_with_the_findings(tmp_path: Path) -> None:
    archive = bars(FIRST)
    lines = text_of(archive).splitlines(keepends=True)
    put(tmp_path, archive, "".join([*lines, lines[-1]]))
    report = await validated(tmp_path, policies={"duplicates": "quarantine"})
    assert {each.policy for each in report.findings if each.check == "duplicates"} == {
        Policy.QUARANTINE
    }
    assert dict(report.verdicts) == {"quarantined": 1}
    with pytest.raises(ConfigurationError, match="duplicate"):
        await validated(tmp_path, policies={"duplicate": "report"})


async def test_only_what_is_wanted_is_read(tmp_path: Path) -> None:
    tree(tmp_path)
    put(tmp_path, bars(FIRST, "ETHUSDT"), "broken")
    assert dict((await validated(tmp_path, symbols=("BTC*",))).verdicts) == {"good": 3}


async def test_many_archives_of_several_tables_by_several_workers(tmp_path: Path) -> None:
    for symbol in ("AUSDT", "BUSDT", "CUSDT"):
        for day in days(FIRST, 50):
            put(tmp_path, bars(day, symbol), text_of(bars(day)))
    for schema in every_schema()[:6]:
        put(tmp_path, archive_of(schema))
    told: list[str] = []
    config = LakeConfig(output_directory=str(tmp_path), workers=2)
    workflow = ValidationWorkflow(config, tell=lambda quality: told.append(quality.key))
    report = (await workflow.run()).report
    assert sorted(told) == [each.key for each in report.archives]
    assert len(told) == len(set(told)) == len([*tmp_path.rglob("*.zip")])


async def test_a_stopped_validation_tells_what_it_read(tmp_path: Path) -> None:
    for day in days(FIRST, 150):
        put(tmp_path, bars(day))

    def tell(_quality: Any) -> None:
        if workflow.stop_code is None:
            anyio.from_thread.run_sync(workflow.stop)

    config = LakeConfig(output_directory=str(tmp_path), workers=1)
    workflow = ValidationWorkflow(config, tell=tell)
    report = (await workflow.run()).report
    assert workflow.stop_code == 130
    assert 0 < len(report.archives) < 150
    workflow = ValidationWorkflow(config)
    workflow.stop(143)
    assert (await workflow.run()).report.archives == ()


async def test_without_the_extra_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _name: None)
    with pytest.raises(ExtraMissing, match="duckdb, polars, pyarrow, pyiceberg, sqlalchemy"):
        await validated(tmp_path)
