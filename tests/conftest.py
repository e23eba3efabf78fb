"""What every test may use."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from tests.examples import IS_THOROUGH, examples

from crypto_lakehouse.http.retry import RetryPolicy

settings.register_profile(
    "tests",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=examples(100),
    derandomize=not IS_THOROUGH,
)
settings.load_profile("tests")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name tests alike whenever they are collected: zips have the time in them."""
    if isinstance(val, bytes) and b"PK" in val:
        return f"{argname} of {len(val)} bytes"
    return None


#: Files, and tests, that take long: `make test-all` runs them, and `make test` does not.
SLOW = (
    "attack/",
    "charts/test_candle_chart.py::test_any_title_is_drawn_as_it_is",
    "cli/test_configured_catalog.py",
    "cli/test_progress.py::test_commands_show_their_progress_on_a_terminal",
    "cli/test_locales.py::test_every_command_takes_it_in_every_locale",
    "cli/test_query_open_files.py",
    "cli/test_query_signals.py::test_a_file_that_is_not_finished_is_removed_after_sigterm",
    "cli/test_query_signals.py::test_a_signal_ends_a_query_that_computes",
    "cli/test_query_signals.py::test_two_queries_into_one_file_leave_the_rows_of_one",
    "cli/test_status.py::test_more_series_than_a_picture_takes_are_left_out_with_a_word",
    "cli/test_unwritable_trees.py::test_no_part_of_another_user",
    "cli/test_wait.py::test_a_collection_waits_for_both_locks",
    "cli/test_wait.py::test_a_command_runs_once_the_holder_has_ended",
    "cli/test_wait.py::test_a_signal_ends_the_wait",
    "core/config/test_sources.py::test_a_file_nested_without_end_is_refused[c.yaml]",
    "core/config/test_workflow_config_fuzz.py::test_a_value_too_large_to_show_is_a_configuration_or_refused[long]",
    "documentation/test_console.py::test_a_command_runs[--help: crypto-lakehouse demo",
    "documentation/test_console.py::test_a_command_runs[README.md: crypto-lakehouse collect",
    "documentation/test_console.py::test_a_command_runs[collect --help: crypto-lakehouse collect -o data --m",  # noqa: E501
    "documentation/test_console.py::test_a_command_runs[docs/tables.md: crypto-lakehouse collect",
    "documentation/test_console.py::test_a_line_of_shell_runs",
    "executors/processes/test_process_faults.py",
    "faults/test_cancellation.py",
    "faults/test_kill.py",
    "faults/test_machine_descriptors.py",
    "faults/test_machine_ledger.py",
    "faults/test_machine_runs.py",
    "faults/test_mix.py",
    "faults/test_power_loss.py",
    "faults/test_source.py::test_the_archive_alone_suffers_and_is_told_of[dripping",
    "faults/test_source.py::test_the_archive_alone_suffers_and_is_told_of[silent",
    "http/test_concurrency_limit.py::test_the_limit_is_nearly_as_good_as_the_best_fixed_one",
    "matrix/test_diff.py::test_what_comes_one_way_goes_the_other",
    "packaging/test_distribution.py",
    "packaging/test_extras.py",
    "planning/test_calendar_plan.py::test_all_five_million_are_distinct_without_a_list",
    "planning/test_calendar_plan.py::test_five_million_archives_are_enumerated_in_flat_memory",
    "proxies/test_collections.py",
    "proxies/test_commands.py",
    "proxies/test_failures.py",
    "proxies/test_real_runs.py",
    "tables/iceberg/test_durable.py",
    "tables/ingest/test_any_order.py",
    "tables/ingest/test_killed.py",
    "tables/ingest/test_merges_held_back.py",
    "tables/ingest/test_two_writers.py",
    "tables/lake/test_bars.py",
    "tables/lake/test_paths.py",
    "tables/lake/test_relocation.py::test_it_may_be_killed_at_every_step",
    "tables/lake/test_spill.py",
    "tables/test_every_type.py::test_all_types_go_into_one_lake_and_come_back",
    "tables/test_real_archives.py",
    "testing/server/test_listing.py::test_pages_have_a_thousand_keys_and_join_without_gap",
    "workflows/test_collect_and_ingest.py::test_batches_make_the_same_table",
    "workflows/test_collect_and_ingest.py::test_both_are_executed_without_a_loop",
    "workflows/test_costs.py",
    "workflows/test_real_archives.py",
    "workflows/test_source_down.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what takes long."""
    for item in items:
        if item.nodeid.removeprefix("tests/").startswith(SLOW):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _no_configuration_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests see no CRYPTO_LAKEHOUSE_ variable of the machine, and no proxy."""
    import os

    for name in list(os.environ):
        if name.startswith("CRYPTO_LAKEHOUSE_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """What a command sets up for its log ends with the test, as its standard error does."""
    logger = logging.getLogger("crypto_lakehouse")
    before = logger.handlers.copy(), logger.level, logger.propagate
    yield
    logger.handlers, logger.level, logger.propagate = before


@pytest.fixture
def uncovered_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure no coverage in processes that a test starts, as of such that are killed."""
    for name in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"):
        monkeypatch.delenv(name, raising=False)


class SleepRecorder:
    """A sleep that takes no time and remembers what was asked of it."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)


@pytest.fixture
def sleeps() -> SleepRecorder:
    """What back-off asked to wait, in seconds."""
    return SleepRecorder()


@pytest.fixture
def retry(sleeps: SleepRecorder) -> RetryPolicy:
    """Back-off that takes no time; three retries."""
    return RetryPolicy(max_retries=3, sleep=sleeps)
