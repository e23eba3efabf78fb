"""Runs over many archives of which some meet with a mishap, and what must come of them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import anyio
from attrs import define, field

from crypto_lakehouse import run_collection
from crypto_lakehouse.core.events import ArchiveFinished, Event
from crypto_lakehouse.core.report import CollectionReport
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.testing import ArchiveServer, FaultMix, Mishap
from crypto_lakehouse.testing.made_up.zips import good_zip

__all__ = ["MixedRun", "keys_of"]

_START = date(2021, 1, 1)

#: Retries beyond those that the mix uses up: on a busy machine a sound answer may come too late.
_SPARE_RETRIES = 2

_QUARANTINED = {Verdict.CORRUPT, Verdict.UPSTREAM_MISMATCH}
_STANDING = {Verdict.VERIFIED, Verdict.UNCHANGED, Verdict.SIDECAR_MISSING}


def keys_of(symbols: int, days: int) -> list[str]:
    """Keys of daily bars: so many symbols on so many days."""
    return [
        f"data/spot/daily/klines/S{number}USDT/1d/S{number}USDT-1d-{_START + timedelta(day)}.zip"
        for number in range(symbols)
        for day in range(days)
    ]


async def at_once(_seconds: float) -> None:
    """Wait for nothing; back-off is tested elsewhere."""
    await anyio.lowlevel.checkpoint()


@define
class MixedRun:
    """A server of many small archives, a mix, and one output directory."""

    root: Path
    symbols: int
    days: int
    mix: FaultMix
    processes: int = 1
    timeout_s: float = 4.0
    server: ArchiveServer = field(init=False, factory=lambda: ArchiveServer(generate=False))
    keys: list[str] = field(init=False)
    mishaps: dict[str, Mishap] = field(init=False)
    verdicts: dict[str, ArchiveFinished] = field(init=False, factory=dict)
    name: str = "verdicts"
    required: bool = True

    def __attrs_post_init__(self) -> None:
        self.keys = keys_of(self.symbols, self.days)
        for key in self.keys:
            self.server.publish(key, good_zip(key, key.encode()))
        self.mishaps = self.mix.afflict(self.server, self.keys)

    async def collect(self) -> CollectionReport:
        """Run once."""
        self.verdicts.clear()
        end = _START + timedelta(self.days - 1)
        config = {
            "output_directory": str(self.root),
            "source_url": self.server.url,
            "discovery": "calendar",
            "partitions": "daily",
            "markets": ["spot"],
            "data_types": ["klines"],
            "intervals": ["1d"],
            "symbols": [f"S{number}USDT" for number in range(self.symbols)],
            "date_range": {"start": str(_START), "end": str(end)},
            "timeout_seconds": self.timeout_s,
            "processes": self.processes,
        }
        retry = RetryPolicy(max_retries=self.mix.max_retries + _SPARE_RETRIES, sleep=at_once)
        report = await run_collection(config, retry=retry, sinks=[self])
        assert report.totals["planned"] == len(self.keys) == len(self.verdicts)
        return report

    async def handle(self, events: Sequence[Event]) -> None:
        """Keep the verdicts."""
        for event in events:
            if isinstance(event, ArchiveFinished):
                assert event.archive.key not in self.verdicts
                self.verdicts[event.archive.key] = event

    async def flush(self) -> None:
        """Nothing is held back."""

    async def close(self) -> None:
        """Nothing is held back."""

    def expected(self, key: str) -> Verdict:
        """The verdict that an archive must have after the first run."""
        mishap = self.mishaps.get(key)
        return Verdict.VERIFIED if mishap is None else mishap.verdict

    def check(self) -> None:
        """Of each archive is said what was done to it, and the disk holds what was said."""
        wrong = [
            f"{key}: {event.verdict} ({event.reason}), and not what {self.mishaps.get(key)} is"
            for key, event in self.verdicts.items()
            if event.verdict is not self.expected(key)
        ]
        assert not wrong, "\n".join(wrong[:20])
        for key in self.keys:
            self._check_file(key)
        strays = list((self.root / "data").rglob("*.part"))
        assert all(self.expected(_whole(self.root, path)) is Verdict.FAILED for path in strays)

    def _check_file(self, key: str) -> None:
        verdict, path = self.expected(key), self.root / key
        if verdict not in _STANDING:
            assert not path.exists(), key
            kept = self.root / ".lakehouse" / "quarantine" / key
            assert kept.exists() == (verdict in _QUARANTINED), key
            return
        data, mishap = path.read_bytes(), self.mishaps.get(key)
        assert data == (self.server.read(key) if mishap is None else mishap.body), key
        assert self.verdicts[key].sha256 == hashlib.sha256(data).hexdigest()

    def check_second(self) -> None:
        """The second run fetches nothing that was verified, and says the same of what was not."""
        verdicts = Counter(
            (self.expected(key), event.verdict) for key, event in self.verdicts.items()
        )
        assert verdicts[Verdict.VERIFIED, Verdict.UNCHANGED] == sum(
            self.expected(key) is Verdict.VERIFIED for key in self.keys
        )
        for key, event in self.verdicts.items():
            if event.verdict in _STANDING:
                assert hashlib.sha256((self.root / key).read_bytes()).hexdigest() == event.sha256


def _whole(root: Path, part: Path) -> str:
    """The archive that a part is of."""
    return part.relative_to(root).as_posix().removesuffix(".part").removesuffix(".CHECKSUM")
