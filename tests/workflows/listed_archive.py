"""One archive, collected with its listing: what is asked for, kept and known."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from tests.workflows.conftest import (
    KEY,
    Collection,
    make_zip,
    member_of,
)

from crypto_lakehouse.core.verdicts import Verdict

NEWS = make_zip(member_of(KEY), b"other,bars\n")

NAME = KEY.rpartition("/")[2]


def rows(collection: Collection, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(collection.root / ".lakehouse" / "ledger.sqlite") as connection:
        return connection.execute(query).fetchall()


def replaced(collection: Collection) -> list[Path]:
    return sorted((collection.root / ".lakehouse" / "replaced").rglob("*.zip"))


def zips(collection: Collection) -> list[str]:
    """Zips and sidecars that were asked for."""
    return [path for path in collection.requested() if not path.startswith("list:")]


def only(verdict: Verdict) -> dict[str, int]:
    return {"planned": 1, verdict: 1}


def counts(report: Any) -> dict[str, int]:
    return {name: count for name, count in report.totals.items() if count}


def lose_ledger(collection: Collection) -> None:
    for path in (collection.root / ".lakehouse").glob("ledger.sqlite*"):
        path.unlink()
