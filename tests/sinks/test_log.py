"""What the application's own logging is told."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog
from tests.sinks.conftest import (
    BODY_STARTED,
    FINISHED,
    KEY,
    LOUD,
    NOON,
    NOTED,
    QUIET,
    RETRIED,
    STARTED,
    WARNED,
    finished,
)

from crypto_lakehouse.core.events import Event
from crypto_lakehouse.core.object_facts import ObjectFacts
from crypto_lakehouse.core.sink import Sink
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.sinks.log import LogSink, run_logger

LOGGER = "crypto_lakehouse"


@pytest.fixture
def sink(caplog: pytest.LogCaptureFixture) -> LogSink:
    caplog.set_level(logging.DEBUG, LOGGER)
    return LogSink("one")


@pytest.fixture(autouse=True)
def _no_context_of_others() -> Iterator[None]:
    structlog.contextvars.clear_contextvars()
    yield
    structlog.contextvars.clear_contextvars()


def test_a_run_can_do_without_it(sink: LogSink) -> None:
    listener: Sink = sink
    assert not listener.required
    assert listener.name == "log"


@pytest.mark.parametrize(
    ("event", "level", "sentence"),
    [
        (STARTED, logging.INFO, "test: 3 archives planned"),
        (WARNED, logging.WARNING, WARNED.message),
        (NOTED, logging.INFO, NOTED.message),
        (BODY_STARTED, logging.INFO, f"large body of {KEY}"),
        (RETRIED, logging.INFO, "retry in 1.2 s: the source answered 503"),
        (FINISHED, logging.INFO, "run partial"),
        *((finished(verdict), logging.DEBUG, f"{verdict} {KEY}") for verdict in QUIET),
        *((finished(verdict), logging.WARNING, f"{verdict} {KEY}") for verdict in LOUD),
    ],
)
async def test_each_event_has_its_level_and_its_sentence(
    sink: LogSink, caplog: pytest.LogCaptureFixture, event: Event, level: int, sentence: str
) -> None:
    await sink.handle([event])
    await sink.flush()
    await sink.close()
    (record,) = caplog.records
    assert record.name == LOGGER
    assert record.levelno == level
    assert record.getMessage() == sentence
    fields = vars(record)
    assert fields["run_id"] == "one"
    assert fields["event_name"] == type(event).__name__


async def test_fields_are_attributes_of_the_record(
    sink: LogSink, caplog: pytest.LogCaptureFixture
) -> None:
    await sink.handle(
        [finished(Verdict.CORRUPT, facts=ObjectFacts(size_bytes=7)), RETRIED, STARTED]
    )
    archive, retried, started = (vars(record) for record in caplog.records)
    assert (archive["key"], archive["verdict"], archive["size_bytes"]) == (KEY, "corrupt", 7)
    assert archive["reason"] == "the reason of corrupt"
    assert "sha256" not in archive
    assert (retried["key"], retried["attempt"], retried["wait_s"]) == (KEY, 2, 1.25)
    assert (started["planned"], started["at"]) == (3, NOON.isoformat())


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        (logging.DEBUG, ["DEBUG", "INFO", "WARNING"]),
        (logging.INFO, ["INFO", "WARNING"]),
        (logging.WARNING, ["WARNING"]),
        (logging.CRITICAL, []),
    ],
)
async def test_the_level_of_the_application_is_obeyed(
    sink: LogSink, caplog: pytest.LogCaptureFixture, level: int, heard: list[str]
) -> None:
    caplog.set_level(level, LOGGER)
    await sink.handle([finished(), STARTED, WARNED])
    assert [record.levelname for record in caplog.records] == heard


async def test_what_the_application_bound_goes_with_every_record(
    sink: LogSink, caplog: pytest.LogCaptureFixture
) -> None:
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        await sink.handle([STARTED])
    await sink.handle([FINISHED])
    inside, outside = caplog.records
    assert vars(inside)["request_id"] == "r-1"
    assert not hasattr(outside, "request_id")


async def test_two_runs_are_told_apart(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    one, two = LogSink("one"), LogSink("two")
    await one.handle([WARNED])
    await two.handle([WARNED])
    await one.handle([WARNED])
    assert [vars(record)["run_id"] for record in caplog.records] == ["one", "two", "one"]


def test_nothing_is_configured_by_making_a_logger(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger(LOGGER)
    before = (logger.level, list(logger.handlers), logger.propagate)
    run_logger("one").warning("something", key=KEY)
    assert (logger.level, list(logger.handlers), logger.propagate) == before
    assert not structlog.is_configured()
    (record,) = caplog.records
    assert (vars(record)["run_id"], vars(record)["key"]) == ("one", KEY)
