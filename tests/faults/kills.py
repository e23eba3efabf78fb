"""Runs of the command line that are killed, one after the other, on one output directory."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from attrs import define, field

from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.testing.made_up.zips import good_zip

__all__ = ["KEYS", "LARGE", "STAGES", "KilledRuns"]

_DISK = "crypto_lakehouse.stores.disk:Disk"
_LEDGER = "crypto_lakehouse.ledger.sqlite:SqliteLedger"

#: Where a run is killed: a function, and what its arguments must hold.
STAGES: Mapping[str, Mapping[str, str]] = {
    "body": {"target": f"{_DISK}.append"},
    "large body": {"target": "crypto_lakehouse.stores.parts:LocalPart._append"},
    "hash": {"target": "crypto_lakehouse.collection.collector:decide"},
    "sidecar": {"target": f"{_DISK}.rename", "contains": ".CHECKSUM.part"},
    "rename": {"target": f"{_DISK}.rename", "contains": ".zip.part"},
    "replaced": {"target": f"{_DISK}.link"},
    "sync": {"target": "crypto_lakehouse.stores.directory:LocalStore.make_durable"},
    "ledger": {"target": f"{_LEDGER}.write"},
    "transaction": {"target": f"{_LEDGER}._write_one"},
}

_START = date(2025, 3, 1)
_DAYS = 60
LARGE = [
    f"data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-{_START + timedelta(day)}.zip"
    for day in range(2)
]
KEYS = [
    *LARGE,
    *(
        f"data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-{_START + timedelta(day)}.zip"
        for day in range(_DAYS)
    ),
]


@define
class KilledRuns:
    """One output directory, a source that re-publishes, and runs that do not end well.

    Attributes:
        versions: Digests of all that was ever published, by key.
    """

    root: Path
    server: ArchiveServer
    processes: int
    rng: random.Random
    versions: dict[str, list[str]] = field(factory=dict)
    kills: int = 0
    _fetchable: set[str] = field(factory=set)

    def __attrs_post_init__(self) -> None:
        for key in KEYS:
            self.publish(key)
        self.root.mkdir(parents=True)
        path = self.root.parent / "run.json"
        path.write_text(json.dumps(self._config()))

    def _config(self) -> dict[str, Any]:
        return {
            "output_directory": str(self.root),
            "source_url": self.server.url,
            "listing_url": self.server.url,
            "discovery": "listing",
            "markets": ["spot"],
            "symbols": ["BTCUSDT"],
            "data_types": ["klines", "trades"],
            "intervals": ["1h"],
            "partitions": "daily",
            "date_range": {"start": str(_START), "end": str(_START + timedelta(_DAYS - 1))},
            "max_parallel_downloads": 4,
            "processes": self.processes,
        }

    def publish(self, key: str) -> None:
        """Publish an archive, or another version of it."""
        content = f"{key} {len(self.versions.get(key, ()))}\n".encode()
        if key in LARGE:
            content += self.rng.randbytes(1_500_000)
        data = good_zip(key, content)
        self.server.publish(key, data)
        self.versions.setdefault(key, []).append(hashlib.sha256(data).hexdigest())
        self._fetchable.add(key)

    def _start(self, doom: Mapping[str, object] | None) -> subprocess.Popen[bytes]:
        here = Path(__file__).parent / "doom"
        paths = [str(here), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        if doom is not None:
            environment["DOOM"] = json.dumps(doom)
        config = self.root.parent / "run.json"
        command = [sys.executable, "-m", "crypto_lakehouse", "collect", "--config", str(config)]
        return subprocess.Popen(
            [*command, "--json"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def run_to_stage(self, stage: str, nth: int, *, is_after: bool) -> bool:
        """Run until a stage is reached for the n-th time; whether it was, and ended the run."""
        self._prepare()
        with self._start({**STAGES[stage], "nth": nth, "is_after": is_after}) as run:
            _, err = run.communicate(timeout=200)
        return self._check(run.returncode, err)

    def run_to_request(self, count: int) -> bool:
        """Run until so many requests were answered; whether the run got there."""
        self._prepare()
        with self._start(None) as run:
            while run.poll() is None and len(self.server.requests) < count:
                try:
                    run.wait(0.001)
                except subprocess.TimeoutExpired:
                    continue
            run.send_signal(signal.SIGKILL)
            _, err = run.communicate(timeout=200)
        return self._check(run.returncode, err)

    def _prepare(self) -> None:
        self._fetchable |= set(KEYS) - self.claims().keys()
        self.server.clear()

    def _check(self, code: int, err: bytes) -> bool:
        assert code in {0, -signal.SIGKILL}, err.decode()
        self.kills += code != 0
        self.check_fetches()
        self.check_files()
        self.check_claims()
        return code != 0

    def check_fetches(self) -> None:
        """Nothing is fetched that the ledger called verified, but what was published anew."""
        asked = {request.path for request in self.server.requests if request.status != 0}
        assert asked & set(KEYS) <= self._fetchable

    def check_files(self) -> None:
        """At final names are published bytes alone, whole."""
        for key in KEYS:
            path = self.root / key
            if path.exists():
                assert hashlib.sha256(path.read_bytes()).hexdigest() in self.versions[key], key

    def claims(self) -> dict[str, tuple[str, int, int]]:
        """Digest, size and time that the ledger has of what it calls verified."""
        path = self.root / ".lakehouse" / "ledger.sqlite"
        if not path.exists():
            return {}
        with closing(sqlite3.connect(path)) as ledger:
            query = (
                "SELECT folder || name, sha256, size_bytes, mtime_ns FROM archives"
                " WHERE verdict = 'verified'"
            )
            try:
                return {key: facts for key, *facts in ledger.execute(query)}
            except sqlite3.OperationalError:  # its tables were not made yet
                return {}

    def check_claims(self) -> None:
        """What the ledger says of a file that it describes is true; the file is there."""
        for key, (digest, size_bytes, mtime_ns) in self.claims().items():
            stat = (self.root / key).stat()
            if (stat.st_size, stat.st_mtime_ns) == (size_bytes, mtime_ns):
                assert hashlib.sha256((self.root / key).read_bytes()).hexdigest() == digest, key

    def finish(self) -> None:
        """Let a run end: everything is here, in its last version, and no litter."""
        self._prepare()
        with self._start(None) as run:
            out, err = run.communicate(timeout=200)
        report = json.loads(out)
        totals = report["totals"]
        assert totals["verified"] + totals["unchanged"] == len(KEYS), (report, err)
        assert totals["corrupt"] + totals["failed"] == 0, report
        self.check_fetches()
        for key in KEYS:
            digest = hashlib.sha256((self.root / key).read_bytes()).hexdigest()
            assert digest == self.versions[key][-1], key
            assert (self.root / f"{key}.CHECKSUM").read_text().startswith(digest), key
        assert self.litter() == []

    def litter(self) -> list[str]:
        """Unfinished files."""
        parts = [*self.root.rglob("*.part"), *self.root.glob(".lakehouse/unfinished/*")]
        return [str(path) for path in parts]
