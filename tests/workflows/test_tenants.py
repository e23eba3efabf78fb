"""Two tenants of a configuration at once, in one process: nothing of one is the other's."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.services.bucket import Bucket

from crypto_lakehouse.core.errors import ConfigurationError
from crypto_lakehouse.core.events import ArchiveFinished, Event
from crypto_lakehouse.testing import ArchiveServer, faults
from crypto_lakehouse.workflows import Monitoring, TenantRun, run_tenants
from crypto_lakehouse.workflows.monitoring.of_tenants import TenantsMonitoring
from crypto_lakehouse.workflows.tenants.loading import load_tenants
from crypto_lakehouse.workflows.tenants.tenant_runs import TenantsWorkflow

SYMBOLS = {"desk-a": "BTCUSDT", "desk-b": "ETHUSDT"}


@pytest.fixture
def values(archive_server: ArchiveServer, tmp_path: Path) -> dict[str, Any]:
    """Two tenants of one source, each with a symbol, an output and a file for metrics."""
    tenants = {
        name: {
            "symbols": [symbol],
            "output_directory": str(tmp_path / name),
            "metrics_textfile": str(tmp_path / f"{name}.prom"),
        }
        for name, symbol in SYMBOLS.items()
    }
    return {
        "source_url": archive_server.url, "discovery": "calendar", "markets": ["spot"],
        "data_types": ["klines"], "intervals": ["1h"], "default_date": "2025-07-15",
        "max_retries": 0, "tenants": tenants,
    }  # fmt: skip


def of_other(name: str) -> str:
    """The symbol of the other tenant."""
    return next(symbol for tenant, symbol in SYMBOLS.items() if tenant != name)


async def test_nothing_of_a_tenant_is_in_what_the_other_one_leaves(
    values: dict[str, Any], tmp_path: Path, archive_server: ArchiveServer,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    archive_server.inject("*ETHUSDT*", faults.Status(403), endless=True)
    caplog.set_level(logging.DEBUG, "crypto_lakehouse")
    seen: dict[str, list[Event]] = {name: [] for name in SYMBOLS}

    def run_of(name: str) -> TenantRun:
        return TenantRun(sinks=[seen[name].extend])

    report = await run_tenants({**values, "metrics_by_symbol": True}, run_of=run_of)
    assert report.exit_code == 3
    assert {step.name: step.exit_code for step in report.steps} == {"desk-a": 0, "desk-b": 3}
    for name, symbol in SYMBOLS.items():
        keys = {each.archive.symbol for each in seen[name] if isinstance(each, ArchiveFinished)}
        assert keys == {symbol}
        for path in (tmp_path / name).rglob("*"):
            assert of_other(name) not in str(path)
            assert path.is_dir() or of_other(name).encode() not in path.read_bytes()
        text = (tmp_path / f"{name}.prom").read_text()
        samples = [line for line in text.splitlines() if line and not line.startswith("#")]
        assert samples
        assert [line for line in samples if f'tenant="{name}"' not in line] == []
        assert of_other(name) not in text
        records = [each for each in caplog.records if getattr(each, "tenant", "") == name]
        assert {symbol in str(vars(each)) for each in records} >= {True}
        assert [each for each in records if of_other(name) in str(vars(each))] == []
    runs = [each for each in caplog.records if hasattr(each, "run_id")]
    assert {getattr(each, "tenant", "") for each in runs} == {*SYMBOLS}


async def test_one_listener_has_the_metrics_and_the_page_of_each_tenant(
    values: dict[str, Any],
) -> None:
    await run_tenants(values)  # the ledgers have a day
    seen, said = dict[str, str](), list[str]()
    done = dict.fromkeys(SYMBOLS, 0)

    async def look(name: str, events: Sequence[Event]) -> None:
        done[name] += sum(isinstance(event, ArchiveFinished) for event in events)
        if all(done.values()) and not seen:
            front = said[0].split()[-1]
            paths = [f"tenants/{each}{end}" for each in SYMBOLS for end in ("", "/", "/events")]
            async with aiohttp.ClientSession() as client:
                for path in ("", "metrics", "events", "tenants/desk-c/", *paths):
                    async with client.get(f"{front}{path}", allow_redirects=False) as got:
                        is_stream = path.endswith("events") and got.status == 200
                        text = got.content.readuntil(b"\n\n") if is_stream else got.read()
                        seen[path] = f"{got.status} {(await text).decode()}"
                async with client.get(f"{front}tenants/desk-a") as got:
                    assert str(got.url) == f"{front}tenants/desk-a/"
                async with client.head(f"{front}", headers={"Host": "evil.example"}) as got:
                    assert got.status == 403

    def run_of(name: str) -> TenantRun:
        async def sink(events: Sequence[Event]) -> None:
            await look(name, events)

        return TenantRun(sinks=[sink])

    tenants = await load_tenants({**values, "serve": 0, "default_date": "2025-07-16"})
    workflow = TenantsWorkflow(tenants, run_of=run_of, say=said.append)
    assert (await workflow.run()).report.exit_code == 0
    assert len(said) == 1
    archives = [line for line in seen["metrics"].splitlines() if "archives_total{" in line]
    assert [line for line in archives if "tenant=" not in line] == []
    assert seen["metrics"].count("# HELP crypto_lakehouse_archives_total") == 1
    for name in SYMBOLS:
        assert [line for line in archives if f'tenant="{name}"' in line]
        lag = f'source_lag_seconds{{data_type="klines",market="spot",tenant="{name}"}}'
        assert lag in seen["metrics"]  # it is known from the beginning of a run
        page, events = seen[f"tenants/{name}/"], seen[f"tenants/{name}/events"]
        assert f'<a href="tenants/{name}/">{name}</a>' in seen[""]
        assert f"<h1>{name}</h1>" in page
        assert '<a href="../../">All tenants</a>' in page
        other = next(each for each in SYMBOLS if each != name)
        assert (other in page, of_other(name) in page) == (False, False)
        assert json.loads(events.partition("data: ")[2])["done"] == 1
    assert "<script" not in seen[""]
    assert {seen[path][:3] for path in ("events", "tenants/desk-c/")} == {"404"}
    assert {seen[f"tenants/{name}"][:3] for name in SYMBOLS} == {"302"}


async def test_what_was_complete_before_is_that_of_the_same_tenant(
    values: dict[str, Any], tmp_path: Path, archive_server: ArchiveServer
) -> None:
    await run_tenants(values, names=["desk-a"])
    path = tmp_path / "desk-a.prom"
    success = [line for line in path.read_text().splitlines() if "last_success" in line][-1]
    archive_server.inject("*", faults.Status(403), endless=True)
    await run_tenants(values | {"default_date": "2025-07-16"}, names=["desk-a"])
    assert success in path.read_text()
    path.rename(tmp_path / "desk-b.prom")
    await run_tenants(values, names=["desk-b"])
    assert "last_success_timestamp_seconds{" not in (tmp_path / "desk-b.prom").read_text()


async def test_faults_of_all_tenants_are_raised_at_once_and_nothing_begins(
    values: dict[str, Any], tmp_path: Path, archive_server: ArchiveServer
) -> None:
    tenants: dict[str, dict[str, Any]] = values["tenants"]
    for name in SYMBOLS:
        tenants[name]["metrics_textfile"] = str(tmp_path / "none" / f"{name}.prom")
    with pytest.raises(ConfigurationError) as raised:
        await run_tenants(values)
    assert [each.path for each in raised.value.problems] == [
        f"$.tenants.{name}.metrics_textfile" for name in SYMBOLS
    ]
    for name in SYMBOLS:
        tenants[name]["max_retries"] = 99
    with pytest.raises(ConfigurationError) as raised:
        await run_tenants(values)
    assert [each.path for each in raised.value.problems] == [
        f"$.tenants.{name}.max_retries" for name in SYMBOLS
    ]
    first, second = SYMBOLS
    del tenants[first]["max_retries"]
    tenants["../x"] = tenants.pop(second)
    with pytest.raises(ConfigurationError) as raised:
        await run_tenants(values)
    assert [each.path for each in raised.value.problems] == ["$.tenants.../x"]
    wrong: Any
    for wrong in ({}, {"tenants": {}}, {"tenants": [1]}):
        with pytest.raises(ConfigurationError, match=r"\$\.tenants: must be a mapping"):
            await run_tenants(wrong)
    assert archive_server.requests == []
    assert [*tmp_path.iterdir()] == []


async def test_an_option_that_gives_all_tenants_one_output_is_refused(
    values: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="is also the output of tenant `desk-a`"):
        await load_tenants(values, {"output_directory": str(tmp_path / "one")})


async def test_a_fault_in_the_program_ends_the_run_of_one_tenant_alone(
    values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow = TenantsWorkflow(await load_tenants(values))

    async def broken() -> None:
        raise RuntimeError("broken, with https://user:pa55word@host")

    monkeypatch.setattr(workflow.steps["desk-b"].workflow, "setup", broken)
    report = (await workflow.run()).report
    assert [(step.state, step.exit_code) for step in report.steps] == [("done", 0), ("failed", 1)]
    assert report.steps[1].error == "RuntimeError: broken, with https://***@host"
    assert report.exit_code == 1


async def test_a_stop_ends_all_tenants_in_order(values: dict[str, Any]) -> None:
    workflow = TenantsWorkflow(await load_tenants(values))
    workflow.stop(143)
    report = (await workflow.run()).report
    assert (report.status, report.exit_code) == ("interrupted", 143)


def test_without_an_address_nothing_listens() -> None:
    assert TenantsMonitoring.of({}).listening == {}
    assert Monitoring().sink is None


async def test_all_tenants_together_keep_to_the_caps_of_the_file(
    values: dict[str, Any], archive_server: ArchiveServer
) -> None:
    values |= {
        "max_parallel_downloads": 3, "discovery": "listing", "intervals": ["1h", "1d"],
        "listing_url": archive_server.url, "default_date": None,
        "date_range": {"start": "2025-07-01", "end": "2025-07-04"},
    }  # fmt: skip
    report = await run_tenants(values)
    assert report.exit_code == 0
    assert [step.report.totals["verified"] for step in report.steps] == [8, 8]
    assert archive_server.peak_concurrency <= 3


@pytest.mark.parametrize(
    ("of_file", "of_b", "expected"),
    [
        ({}, {}, (16, 16)),
        ({}, {"max_parallel_downloads": 40}, (40, 40)),
        ({"max_parallel_downloads": 20}, {"max_parallel_downloads": 40}, (20, 20)),
        ({"max_parallel_downloads": "auto"}, {}, (256, 256)),
        ({}, {"source_url": "https://mirror.example"}, (16, 16)),
    ],
)
async def test_each_host_has_a_budget(
    values: dict[str, Any], of_file: dict[str, Any], of_b: dict[str, Any], expected: tuple[int, int]
) -> None:
    rates = {"max_bytes_per_second": 1000, "max_requests_per_second": 5}
    values["tenants"]["desk-b"] |= of_b
    tenants = await load_tenants({**values, **of_file, **rates})
    first, second = (each.shares for each in tenants.values())
    assert first is not None
    assert second is not None
    budgets = first.archives.budget, second.archives.budget
    assert tuple(each.slots.limit for each in budgets) == expected
    assert (budgets[0] is budgets[1]) == ("source_url" not in of_b)
    assert first.listings.budget is budgets[0]
    for budget in budgets:
        assert budget.byte_rate is not None
        assert budget.request_rate is not None
        assert budget.byte_rate.bytes_per_second == 1000
        assert budget.request_rate.requests_per_second == 5


async def test_with_worker_processes_each_tenant_has_an_equal_part(values: dict[str, Any]) -> None:
    caps = {
        "max_parallel_downloads": 20, "max_bytes_per_second": 1000, "max_requests_per_second": 5,
    }  # fmt: skip
    values["tenants"]["desk-b"] |= {"processes": 2, "max_parallel_downloads": 4}
    tenants = await load_tenants({**values, **caps})
    found = [
        (each.config.max_parallel_downloads, each.config.max_bytes_per_second,
         each.config.max_requests_per_second) for each in tenants.values()
    ]  # fmt: skip
    assert found == [(10, 500, 2.5), (4, 500, 2.5)]
    tenants = await load_tenants({**values, "max_parallel_downloads": "auto"})
    assert [each.config.max_parallel_downloads for each in tenants.values()] == ["auto", 4]


async def test_a_store_that_refuses_one_tenant_does_not_end_the_run_of_the_other(
    values: dict[str, Any], tmp_path: Path, rclone_bucket: Bucket, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG, "crypto_lakehouse")
    right = [*rclone_bucket.environment.values()]
    variables = {"A": right, "B": [right[0], "fa1se-secret"]}
    for name in rclone_bucket.environment:  # those of the process are of a third account
        monkeypatch.setenv(name, "third")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "third")
    urls = {}
    for desk, (key_id, secret) in variables.items():
        monkeypatch.setenv(f"{desk}_ID", key_id)
        monkeypatch.setenv(f"{desk}_WORD", secret)
        name = f"desk-{desk.lower()}"
        urls[name] = rclone_bucket.fresh_prefix()
        values["tenants"][name] |= {
            "output_directory": urls[name],
            "state_directory": str(tmp_path / name),
            "storage": dict(rclone_bucket.storage),
            "credentials": {
                "AWS_ACCESS_KEY_ID": f"{desk}_ID", "AWS_SECRET_ACCESS_KEY": f"{desk}_WORD",
            },
        }  # fmt: skip
    values["tenants"]["desk-a"]["processes"] = 2  # they have the variables, too
    report = await run_tenants(values)
    assert [(step.state, step.exit_code) for step in report.steps] == [("done", 0), ("failed", 2)]
    assert "403 SignatureDoesNotMatch" in report.steps[1].error
    assert report.exit_code == 2
    assert "fa1se-secret" not in str(report) + caplog.text
    own = tuple(f"{url.removeprefix(rclone_bucket.url).lstrip('/')}/" for url in urls.values())
    objects = rclone_bucket.open(rclone_bucket.url).client.objects("")
    stored = [each.key for each in objects if each.key.startswith(own)]
    assert [key for key in stored if "BTCUSDT" in key and key.endswith(".zip")]
    assert [key for key in stored if "ETHUSDT" in key] == []
