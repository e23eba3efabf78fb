"""What version 0.1.0 has left is read, and gone on with.

How it was made: tests/data/v0_1_0/README.md. Its tables: `test_v0_1_0_tables`. All of it goes
through the command line and public names, and so holds for every later version as it stands.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from tests.compatibility.archives import (
    BARS,
    BTC,
    ETH,
    TICKS,
    TRADES,
    holds,
    republished,
    zips_asked_for,
)
from tests.compatibility.conftest import Command, Legacy

from crypto_lakehouse.testing import ArchiveServer


def versions(command: Command, key: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = command("history", "-o", "output", key, "--json").json["versions"]
    return found


def as_of(command: Command, legacy: Legacy, key: str, moment: str) -> bytes:
    """The bytes of an archive at a moment."""
    target = legacy.place / "then.zip"
    result = command(
        "history", "-o", "output", key, "--as-of", moment, "--write", target, "--force"
    )
    assert result.code == 0
    return target.read_bytes()


# The ledger and the files.


def test_every_version_of_every_archive_is_known(legacy: Legacy, command: Command) -> None:
    recorded = legacy.expected["versions"]
    assert {each["verdict"] for found in recorded.values() for each in found} == {
        "verified", "missing", "sidecar_missing", "upstream_mismatch", "corrupt", "failed"
    }  # fmt: skip
    for key, expected in recorded.items():
        assert holds(versions(command, key), expected), key


def test_what_the_publisher_changed_is_known(legacy: Legacy, command: Command) -> None:
    found = command("history", "-o", "output", "--since", "2023-01-01", "--json").json["changes"]
    recorded = legacy.expected["changes"]
    assert sorted(each["change"] for each in recorded) == ["replaced", "restamped"]
    assert holds(found, recorded)


def test_the_status_is_what_it_was(legacy: Legacy, command: Command) -> None:
    result = command(
        "status", "-o", "output", "--start", "2023-06-30", "--end", "2023-07-07", "--json"
    )
    assert (result.code, result.err) == (0, "")
    assert holds(result.json, legacy.expected["status"])


def test_the_files_are_what_the_ledger_says(legacy: Legacy, command: Command) -> None:
    result = command("verify", "-o", "output", "--json")
    assert result.code == 0
    assert holds(result.json, legacy.expected["verify"])
    assert result.json["quarantine"]["count"] == len(legacy.quarantined()) == 3


def test_a_look_changes_nothing(legacy: Legacy, command: Command) -> None:
    before = legacy.digests("output")
    for look in (
        ["status"],
        ["history", BTC.format(2)],
        ["verify"],
        ["lake", "tables"],
        ["query", "FROM spot.klines"],
    ):
        assert command(*look, "-o", "output").code == 0
    assert legacy.digests("output") == before


def test_a_replaced_version_is_given_back(legacy: Legacy, command: Command) -> None:
    key = BTC.format(2)
    old, new = legacy.expected["versions"][key]
    data = as_of(command, legacy, key, old["first_seen_at"])
    assert hashlib.sha256(data).hexdigest() == old["sha256"] != new["sha256"]
    assert as_of(command, legacy, key, old["until"]) == legacy.published(key)


# A collection that goes on.


def test_a_collection_goes_on(legacy: Legacy, command: Command, server: ArchiveServer) -> None:
    stored, quarantined = legacy.digests("output/data"), legacy.quarantined()
    report = legacy.collect(server, **BARS)
    assert {name: count for name, count in report.totals.items() if count} == {
        "planned": 16,
        "verified": 2,
        "unchanged": 6,
        "not_published": 2,
        "missing": 1,
        "sidecar_missing": 1,
        "upstream_mismatch": 3,
        "corrupt": 1,
    }
    # What is corrupt may be better by now; of all else nothing is fetched a second time.
    assert set(zips_asked_for(server)) - {BTC.format(5)} == {BTC.format(7), ETH.format(7)}
    assert {**legacy.digests("output/data"), **stored} == legacy.digests("output/data")
    assert legacy.quarantined() == quarantined
    assert command("verify", "-o", "output", "--json").json["totals"]["ok"] == 15


def test_history_goes_on(legacy: Legacy, command: Command, server: ArchiveServer) -> None:
    legacy.collect(server, **BARS)
    key, other = BTC.format(1), BTC.format(2)
    server.publish(key, republished(legacy, key))
    assert legacy.collect(server, **BARS).totals["verified"] == 1
    assert zips_asked_for(server).count(key) == 1
    (before,) = legacy.expected["versions"][key]
    old, new = versions(command, key)
    assert (old["change"], old["sha256"]) == ("replaced", before["sha256"])
    assert as_of(command, legacy, key, before["first_seen_at"]) == legacy.published(key)
    assert (legacy.output / key).read_bytes() == republished(legacy, key)
    assert new["sha256"] == hashlib.sha256(republished(legacy, key)).hexdigest()
    assert len(versions(command, other)) == 2
    old, new = legacy.expected["versions"][other]
    data = as_of(command, legacy, other, old["first_seen_at"])
    assert hashlib.sha256(data).hexdigest() == old["sha256"]


def test_what_was_cut_off_is_resumed(legacy: Legacy, server: ArchiveServer) -> None:
    part = legacy.output / f"{TRADES}.part"
    size = part.stat().st_size
    assert size == 700_000
    report = legacy.collect(server, **TICKS)
    assert report.totals["verified"] == 1
    (request,) = [each for each in server.requests if each.path == TRADES]
    assert (request.range, request.status) == (f"bytes={size}-", 206)
    etag = hashlib.md5(legacy.published(TRADES), usedforsecurity=False).hexdigest()
    assert request.headers["If-Range"] == f'"{etag}"'
    assert report.bytes < len(legacy.published(TRADES)) - size + 1_000
    assert (legacy.output / TRADES).read_bytes() == legacy.published(TRADES)
    assert not part.exists()


def test_what_was_cut_off_and_has_changed_is_fetched_anew(
    legacy: Legacy, server: ArchiveServer
) -> None:
    server.publish(TRADES, republished(legacy, TRADES))
    assert legacy.collect(server, **TICKS).totals["verified"] == 1
    assert (legacy.output / TRADES).read_bytes() == republished(legacy, TRADES)


def test_a_sidecar_that_was_missing_proves_what_is_there(
    legacy: Legacy, server: ArchiveServer
) -> None:
    key = BTC.format(3)
    server.publish(key, legacy.published(key))
    assert legacy.collect(server, **BARS).totals["verified"] == 3
    assert key not in zips_asked_for(server)
    assert f"{key}.CHECKSUM" in [each.path for each in server.requests]


def test_what_failed_is_known_and_tried_again(command: Command, server: ArchiveServer) -> None:
    result = command(
        "collect", "-o", "output", "--retry-failed", "--source-url", server.url,
        "--listing-url", server.url, "--max-retries", "0", "--json",
    )  # fmt: skip
    totals = {name: count for name, count in result.json["totals"].items() if count}
    assert totals == {"planned": 3, "verified": 1, "missing": 1, "corrupt": 1}
    assert result.code == 4
    assert set(zips_asked_for(server)) >= {TRADES}
    assert set(zips_asked_for(server)) <= {TRADES, BTC.format(5), BTC.format(6)}


# The data themselves.


def test_nothing_is_at_the_place_where_the_data_were_made(legacy: Legacy) -> None:
    """Else a test could pass because of what is there."""
    assert not Path(legacy.expected["made_at"]).exists()
