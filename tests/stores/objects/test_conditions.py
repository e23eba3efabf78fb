"""Whether a store honours conditions is found out, and remembered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from obstore.store import MemoryStore
from tests.services.bucket import Bucket
from tests.services.fault_proxy import FaultProxy, behind_faults, error
from tests.stores.objects.scene import on

from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.conditions import honours_conditions, knows_conditions


@pytest.fixture
def faulty(ministack_bucket: Bucket) -> Iterator[tuple[FaultProxy, ObjectClient]]:
    with behind_faults(ministack_bucket) as (proxy, bucket):
        yield proxy, bucket.open(ministack_bucket.fresh_prefix()).client


@pytest.mark.parametrize(
    ("name", "expected"),
    [("ministack", True), ("rclone", False), ("azurite", True), ("gcs", True)],
)
def test_servers_are_found_out(name: str, expected: bool, request: pytest.FixtureRequest) -> None:
    client = request.getfixturevalue(f"{name}_bucket").open().client
    assert honours_conditions(client) is expected
    assert list(client.objects("")) == []  # nothing is left


def test_memory_honours_conditions() -> None:
    assert honours_conditions(ObjectClient(MemoryStore(), "memory://bucket"))


def test_a_store_that_takes_every_condition_for_failed_does_not_honour_them(
    faulty: tuple[FaultProxy, ObjectClient],
) -> None:
    proxy, client = faulty
    proxy.fault = on(["put"], error(412, "PreconditionFailed"))
    assert not honours_conditions(client)


@pytest.mark.parametrize("status", [400, 501])
def test_a_store_that_refuses_conditions_by_name(
    faulty: tuple[FaultProxy, ObjectClient], status: int
) -> None:
    proxy, client = faulty
    proxy.fault = on(["put"], error(status, "NotImplemented"))
    assert not honours_conditions(client)


def test_a_store_that_fails_is_no_answer(
    faulty: tuple[FaultProxy, ObjectClient], tmp_path: Path
) -> None:
    proxy, client = faulty
    proxy.fault = on(["put"], error(403, "AccessDenied"))
    with pytest.raises(StoreError, match="403 AccessDenied"):
        knows_conditions(client, tmp_path / "note")
    assert not (tmp_path / "note").exists()


def test_an_answer_that_was_lost_changes_nothing(
    faulty: tuple[FaultProxy, ObjectClient],
) -> None:
    proxy, client = faulty

    proxy.fault = on(["put"], lambda forward: (forward(), error(500, "InternalError"))[1], last=1)
    assert honours_conditions(client)


def test_the_answer_is_remembered(faulty: tuple[FaultProxy, ObjectClient], tmp_path: Path) -> None:
    proxy, client = faulty
    note = tmp_path / "note"
    assert knows_conditions(client, note)
    proxy.requests.clear()
    assert knows_conditions(client, note)
    assert proxy.requests == []
    note.write_text(note.read_text().replace("true", "false"))
    assert not knows_conditions(client, note)
    assert proxy.requests == []


@pytest.mark.parametrize("damage", [b"", b"[]", b"\xff", b'{"conditions": true}', b"{" * 9_000])
def test_a_damaged_note_is_made_anew(
    faulty: tuple[FaultProxy, ObjectClient], tmp_path: Path, damage: bytes
) -> None:
    _, client = faulty
    (note := tmp_path / "note").write_bytes(damage)
    assert knows_conditions(client, note)
    assert json.loads(note.read_bytes()) == {
        **client.identity, "conditions": True
    }  # fmt: skip


def test_a_note_of_another_server_is_not_believed(
    ministack_bucket: Bucket, rclone_bucket: Bucket, tmp_path: Path
) -> None:
    url = "s3://archive/one"
    assert knows_conditions(ministack_bucket.open(url).client, tmp_path / "note")
    assert not knows_conditions(rclone_bucket.open(url).client, tmp_path / "note")


def test_a_link_in_the_place_of_a_note_is_not_followed(tmp_path: Path) -> None:
    client = ObjectClient(MemoryStore(), "memory://bucket")
    (other := tmp_path / "other").write_text("mine")
    (note := tmp_path / "note").symlink_to(other)
    assert knows_conditions(client, note)
    assert other.read_text() == "mine"
    assert not note.is_symlink()


def test_a_note_that_cannot_be_written_costs_only_the_next_question(tmp_path: Path) -> None:
    client = ObjectClient(MemoryStore(), "memory://bucket")
    assert knows_conditions(client, tmp_path / "absent" / "note")
