"""One JSON object per line and archive."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.sinks.conftest import (
    BODY_STARTED,
    FINISHED,
    FOREIGN,
    KEY,
    RETRIED,
    STARTED,
    WARNED,
    finished,
)

from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.object_facts import ObjectFacts
from crypto_lakehouse.core.sink import Sink
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.sinks.jsonl import JsonLinesSink


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def records(path: Path) -> list[dict[str, Any]]:
    text = path.read_bytes().decode()
    assert not text or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def test_who_asked_for_the_file_cannot_do_without_it(path: Path) -> None:
    listener: Sink = JsonLinesSink(path)
    assert listener.required
    assert listener.name == "events file"


async def test_each_finished_archive_is_a_line(path: Path) -> None:
    sink = JsonLinesSink(path)
    await sink.handle([STARTED, WARNED, BODY_STARTED, finished(), RETRIED])
    await sink.handle([finished(Verdict.FAILED, FOREIGN, requests=6), FINISHED])
    await sink.close()
    first, second = records(path)
    assert first["event"] == "ArchiveFinished"
    assert (first["key"], first["verdict"]) == (KEY, "verified")
    assert "reason" not in first
    assert (second["key"], second["verdict"]) == (FOREIGN.key, "failed")
    assert (second["reason"], second["requests"]) == ("the reason of failed", 6)


async def test_symbols_of_any_script_are_written_as_they_are(path: Path) -> None:
    sink = JsonLinesSink(path)
    await sink.handle([finished(archive=FOREIGN)])
    await sink.close()
    assert "币安人生USDT" in path.read_text("utf-8")


async def test_a_line_end_in_a_reason_ends_no_line(path: Path) -> None:
    sink = JsonLinesSink(path)
    await sink.handle([finished(Verdict.CORRUPT, reason="one\ntwo\r\u2028three")])
    await sink.close()
    assert path.read_bytes().count(b"\n") == 1
    assert json.loads(path.read_bytes())["reason"] == "one\ntwo\r\u2028three"


async def test_a_run_without_archives_leaves_an_empty_file(path: Path) -> None:
    path.write_text("of an earlier run\n")
    sink = JsonLinesSink(path)
    await sink.handle([STARTED])
    await sink.handle([FINISHED])
    await sink.close()
    assert records(path) == []


async def test_a_flush_lets_others_read(path: Path) -> None:
    sink = JsonLinesSink(path)
    await sink.flush()
    assert not path.exists()
    await sink.handle([finished()])
    await sink.flush()
    assert len(records(path)) == 1
    await sink.close()


async def test_closing_twice_and_without_a_file_is_nothing(path: Path) -> None:
    sink = JsonLinesSink(path)
    await sink.close()
    await sink.handle([finished()])
    await sink.close()
    await sink.close()
    assert len(records(path)) == 1


async def test_a_file_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"events\.jsonl`: No such file or directory"):
        await JsonLinesSink(tmp_path / "absent" / "events.jsonl").handle([STARTED])


async def test_a_header_that_is_no_text_is_written_all_the_same(path: Path) -> None:
    """Header bytes that are not UTF-8 come as lone surrogates out of the HTTP client."""
    sink = JsonLinesSink(path)
    await sink.handle([finished(facts=ObjectFacts(etag='"\udcff"')), finished(archive=FOREIGN)])
    await sink.close()
    assert [record["key"] for record in records(path)] == [KEY, FOREIGN.key]


async def test_the_dash_is_a_name_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    sink = JsonLinesSink(Path("-"))
    await sink.handle([finished()])
    await sink.close()
    assert len(records(tmp_path / "-")) == 1
    assert capsys.readouterr().out == ""
