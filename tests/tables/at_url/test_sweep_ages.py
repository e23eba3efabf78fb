"""`lake sweep` counts ages by the store's clock; what it deletes too early is not committed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from attrs import evolve
from pyiceberg.manifest import DataFile
from tests.services.bucket import Bucket
from tests.services.fault_proxy import Answer, Fault, Forward, Request, behind_faults
from tests.tables.at_url.lakes import LakeAtUrl, expected
from tests.tables.sample_data import bars, days, ingest, put

from crypto_lakehouse.core.errors import LakeError, StoreError
from crypto_lakehouse.stores.objects.store_time import store_time
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.lake.maintenance import compact, sweep, sweep_before

KLINES = "spot.klines"
ARCHIVES = [bars(day) for day in days(date(2023, 12, 1), 2)]
LEFT = "warehouse/spot/klines/data/left.parquet"
_DAY = timedelta(days=1)


def years_behind(answer: Answer) -> Answer:
    """A listing of a store whose clock says 2 January 2020, in which `LEFT` is two days old."""

    def dated(found: re.Match[bytes]) -> bytes:
        day = b"2019-12-31" if LEFT.encode() in found[0] else b"2020-01-02"
        return re.sub(rb"(<LastModified>)[0-9-]+T[0-9:]+", rb"\g<1>" + day + b"T12:00:00", found[0])

    kept = {
        name: value for name, value in answer.headers.items() if name.lower() != "content-length"
    }
    body = re.sub(rb"<Contents>.*?</Contents>", dated, answer.body, flags=re.DOTALL)
    return evolve(answer, headers=kept, body=body)


def swept(lake: LakeAtUrl, older_than: float | None = None) -> list[str]:
    catalog = lake.catalog("another")
    try:
        return sweep(catalog, KLINES, before=sweep_before(catalog, older_than))
    finally:
        catalog.close()


def test_a_sweep_keeps_the_files_of_a_commit_under_way_if_a_clock_is_wrong(
    ministack_bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ministack_bucket.give_credentials(monkeypatch)
    with behind_faults(ministack_bucket) as (proxy, bucket):
        lake = LakeAtUrl.in_bucket(bucket, tmp_path, ministack_bucket.fresh_prefix())
        lake.ingest([put(tmp_path, ARCHIVES[0])])
        lake.client.put(LEFT, b"x")
        gone: list[list[str]] = []

        def fault(request: Request, forward: Forward) -> Answer:
            if request.kind == "list":
                return years_behind(forward())
            if request.kind == "put" and request.key.endswith(f"tables/{KLINES}.json") and not gone:
                gone.append([])  # the sweep writes no record
                gone.append(swept(lake))
            return forward()

        proxy.fault = fault
        lake.ingest([put(tmp_path, each) for each in ARCHIVES])
        proxy.clear()
        assert gone == [[], [lake.client.place(LEFT)]]
        assert lake.rows() == lake.rows("another") == expected(ARCHIVES)


def test_the_age_is_that_of_the_store_or_of_this_machine(tmp_path: Path) -> None:
    lake = LakeAtUrl.in_memory(tmp_path)
    lake.ingest([put(tmp_path, ARCHIVES[0])])
    lake.client.put(LEFT, b"x")
    assert swept(lake) == []
    assert swept(lake, 2.0) == []
    assert swept(lake, 0.0) == [lake.client.place(LEFT)]
    assert not [*lake.client.objects(".lakehouse/probe/")]
    catalog = LakeCatalog(tmp_path / "directory", create=True)
    ingest(catalog, [put(tmp_path, ARCHIVES[0])])
    assert sweep_before(catalog) is None
    before = sweep_before(catalog, 1.0)
    assert before is not None
    assert before <= datetime.now(UTC) - _DAY
    catalog.close()


def test_a_listing_without_what_was_just_written_is_an_error(
    ministack_bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ministack_bucket.give_credentials(monkeypatch)
    with behind_faults(ministack_bucket) as (proxy, bucket):
        lake = LakeAtUrl.in_bucket(bucket, tmp_path, ministack_bucket.fresh_prefix())
        proxy.fault = without_objects()
        with pytest.raises(StoreError, match="is not in the listing of its folder"):
            store_time(lake.client)


def without_objects() -> Fault:
    """Leave every object out of each listing."""

    def fault(request: Request, forward: Forward) -> Answer:
        answer = forward()
        if request.kind != "list":
            return answer
        kept = {
            name: value
            for name, value in answer.headers.items()
            if name.lower() != "content-length"
        }
        body = re.sub(rb"<Contents>.*?</Contents>", b"", answer.body, flags=re.DOTALL)
        body = re.sub(rb"<KeyCount>[0-9]+", b"<KeyCount>0", body)
        return evolve(answer, headers=kept, body=body)

    return fault


@pytest.mark.parametrize(("command", "count"), [("ingest", 1), ("ingest", 2), ("compact", 1)])
def test_no_commit_names_a_data_file_that_is_gone_or_cut(
    ministack_bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str,
    count: int,
) -> None:  # fmt: skip
    ministack_bucket.give_credentials(monkeypatch)
    archives = [bars(date(2023, 12, 1), symbol) for symbol in ("AUSDT", "BUSDT", "CUSDT")]
    sources = [put(tmp_path, each) for each in archives]
    with behind_faults(ministack_bucket) as (proxy, bucket):
        lake = LakeAtUrl.in_bucket(bucket, tmp_path, ministack_bucket.fresh_prefix())
        lake.ingest([put(tmp_path, bars(date(2023, 12, 2), "AUSDT")), sources[0]])
        if command == "compact":
            lake.ingest([put(tmp_path, bars(date(2023, 12, 3), "AUSDT"))])
        before = lake.rows()
        durable = LakeCatalog.make_durable

        def late(catalog: LakeCatalog, files: Sequence[DataFile]) -> None:
            durable(catalog, files)
            monkeypatch.undo()
            ministack_bucket.give_credentials(monkeypatch)
            for number, file in enumerate(files):
                key = file.file_path.removeprefix(f"{lake.client.url}/")
                lake.client.delete(key) if number == 0 else lake.client.put(key, b"cut")
            proxy.requests.clear()

        def run() -> None:
            if command == "ingest":
                lake.ingest(sources[: 1 + count])
                return
            catalog = lake.catalog()
            try:
                compact(catalog, KLINES, tool_version="test")
            finally:
                catalog.close()

        monkeypatch.setattr(LakeCatalog, "make_durable", late)
        with pytest.raises(LakeError, match=r"nothing was committed .*new data file.* gone from"):
            run()
        assert proxy.requests[0].kind == ("head" if count == 1 else "list")
        assert lake.rows() == before
        run()
        wanted = {*before, *((each.key, 24) for each in archives[: 1 + count])}
        assert lake.rows() == (sorted(wanted) if command == "ingest" else before)
