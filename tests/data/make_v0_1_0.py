"""Make `tests/data/v0_1_0`: what version 0.1.0 has left in an output directory.

    faketime "2024-01-15 12:00:00" python tests/data/make_v0_1_0.py

It was run once, with version 0.1.0, and is kept to show how. It refuses to run with another
version, or where the data is there: later versions must read what 0.1.0 wrote, not what they would
write in its place. The clock is set back so that no machine that runs the tests is earlier.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tarfile
import time
import zipfile
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

from crypto_lakehouse import __version__, run_collection
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.testing import ArchiveServer, faults

DATA = Path(__file__).parent / "v0_1_0"

#: Where it is made; the lake's files name this place, so it is one that tells nothing.
PLACE = Path("/tmp/made-by-0.1.0")
OUTPUT = PLACE / "output"
EXACT = PLACE / "exact"

BTC = "data/spot/daily/klines/BTCUSDT/4h/BTCUSDT-4h-2023-07-{:02}.zip"
ETH = "data/spot/daily/klines/ETHUSDT/4h/ETHUSDT-4h-2023-07-{:02}.zip"
ETH_DAY = "data/spot/daily/klines/ETHUSDT/1d/ETHUSDT-1d-2023-06-{}.zip"
ETH_MONTH = "data/spot/monthly/klines/ETHUSDT/1d/ETHUSDT-1d-2023-06.zip"
FUNDING = "data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2023-{:02}.zip"
TRADES = "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2023-07-01.zip"

#: What is collected: more of each is published, for a later version to collect.
BARS = {"markets": ["spot"], "symbols": ["BTCUSDT", "ETHUSDT"], "data_types": ["klines"],
        "intervals": ["4h"], "partitions": "daily",
        "date_range": {"start": "2023-06-30", "end": "2023-07-06"}}  # fmt: skip
DAYS = BARS | {"symbols": ["ETHUSDT"], "intervals": ["1d"],
               "date_range": {"start": "2023-06-29", "end": "2023-06-30"}}  # fmt: skip
LENIENT = BARS | {"symbols": ["ETHUSDT"], "accept_upstream_mismatch": True,
                  "date_range": {"start": "2023-07-03", "end": "2023-07-03"}}  # fmt: skip
MONTH = DAYS | {"partitions": "monthly",
                "date_range": {"start": "2023-06-01", "end": "2023-06-30"}}  # fmt: skip
RATES = {"markets": ["futures_um"], "symbols": ["BTCUSDT"], "data_types": ["fundingRate"],
         "date_range": {"start": "2023-06-01", "end": "2023-07-31"}}  # fmt: skip
TICKS = {"markets": ["spot"], "symbols": ["BTCUSDT"], "data_types": ["trades"],
         "date_range": {"start": "2023-07-01", "end": "2023-07-01"}}  # fmt: skip

#: When the publisher changed something.
CHANGED = datetime(2023, 9, 1, 4, 30, tzinfo=UTC)


def main() -> None:
    """Make the tree and pack it."""
    if __version__ != "0.1.0" or (DATA / "tree.tar.gz").exists() or PLACE.exists():
        sys.exit(f"it takes version 0.1.0 (this is {__version__}), no {DATA}, and no {PLACE}")
    if datetime.now(UTC).year != 2024:
        sys.exit("it takes a clock that is set back, see above")
    with ArchiveServer(generate=False) as server:
        publisher = Publisher(server)
        publisher.begin()
        collect(server, DAYS)
        collect(server, LENIENT)
        collect(server, BARS | {"processes": 2})
        collect(server, RATES)
        server.inject(TRADES, faults.Truncate(at=700_000))
        collect(server, TICKS)
        run("ingest")
        run("ingest", "-t", "fundingRate", "--lake", EXACT, "--exact")
        run("ingest", "-t", "fundingRate", "--lake", PLACE / "parquet", "--format", "parquet")
        time.sleep(2)  # the ledger's history has whole seconds
        publisher.change()
        collect(server, BARS)
        collect(server, MONTH)
        run("ingest")
        collect(server, RATES | {"date_range": {"start": "2023-08-01", "end": "2023-08-31"}})
        ended = subprocess.run([sys.executable, __file__, "killed"], check=False)
        assert ended.returncode == -signal.SIGKILL
        published = publisher.save(PLACE / "published")
    DATA.mkdir(exist_ok=True)
    pack(DATA / "tree.tar.gz")
    expected = {
        "made_at": str(PLACE),
        "published": published,
        **ledger_facts(),
        "tables": tables_of(OUTPUT),
        "exact_tables": tables_of(EXACT),
        "archives": provenance(),
    }
    text = text_of(expected)
    assert json.loads(text) == expected
    (DATA / "expected.json").write_text(text + "\n", encoding="utf-8")


def collect(server: ArchiveServer, config: dict[str, Any]) -> None:
    """Collect by the listing, trying nothing twice."""
    place = {"output_directory": str(OUTPUT), "source_url": server.url, "listing_url": server.url}
    asyncio.run(run_collection({**place, "max_retries": 0, **config}))


def run(*arguments: str | Path) -> Any:
    """What a command prints as JSON."""
    command = [sys.executable, "-m", "crypto_lakehouse", *arguments, "-o", OUTPUT, "--json"]
    return json.loads(subprocess.run(command, check=False, stdout=subprocess.PIPE).stdout)


def ingest_and_be_killed() -> None:
    """Commit to a table, and be killed before that is recorded in `lakehouse.archives`."""
    ingestion = import_module("crypto_lakehouse.tables.ingestion")
    vars(ingestion)["record"] = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    sys.argv = ["crypto-lakehouse", "ingest", "-o", str(OUTPUT)]
    import_module("crypto_lakehouse.__main__").main()


class Publisher:
    """Publishes archives, and errs as publishers do."""

    def __init__(self, server: ArchiveServer) -> None:
        self.server = server
        self.made_up = ArchiveServer(today=date(2023, 10, 1))
        self.published: dict[str, datetime] = {}

    def begin(self) -> None:
        """Publish what there is at first."""
        for key in (
            *(BTC.format(day) for day in (1, 2, 3, 4, 7)),  # the 6th is missing
            *(ETH.format(day) for day in (1, 2, 3, 6, 7)),
            *(ETH_DAY.format(day) for day in (29, 30)),
            *(FUNDING.format(month) for month in (6, 7)),
        ):
            self.publish(key, self.made_up.read(key))
        self.server.remove(BTC.format(3) + ".CHECKSUM")
        del self.published[BTC.format(3) + ".CHECKSUM"]
        self.put_sidecar(BTC.format(4), b"other bytes")
        self.publish(BTC.format(5), b"no zip, and a sidecar that agrees with it\n")
        self.put_sidecar(ETH.format(3), b"other bytes")
        self.publish(ETH.format(4), zipped(ETH.format(4), "no,bars,at,all\n"))
        day = self.lines(ETH.format(5))
        self.publish(ETH.format(5), zipped(ETH.format(5), "".join(day[:2] + day[3:])))
        self.publish(TRADES, zipped(TRADES, trades(), zipfile.ZIP_STORED))

    def change(self) -> None:
        """Publish some of it anew."""
        self.publish(BTC.format(2), zipped(BTC.format(2), self.doubled(BTC.format(2))), CHANGED)
        self.publish(ETH.format(1), self.server.read(ETH.format(1)), CHANGED)
        self.publish(ETH.format(2), zipped(ETH.format(2), self.doubled(ETH.format(2))), CHANGED)
        self.put_sidecar(ETH.format(2), b"other bytes", CHANGED)
        for key in (ETH_MONTH, FUNDING.format(8)):
            self.publish(key, self.made_up.read(key))

    def lines(self, key: str) -> list[str]:
        """The made-up lines of an archive."""
        with zipfile.ZipFile(io.BytesIO(self.made_up.read(key))) as archive:
            return archive.read(archive.namelist()[0]).decode().splitlines(keepends=True)

    def doubled(self, key: str) -> str:
        """Other lines: twice as many trades in each bar."""
        rows = [line.split(",") for line in self.lines(key)]
        return "".join(",".join([*row[:8], str(2 * int(row[8])), *row[9:]]) for row in rows)

    def publish(self, key: str, body: bytes, at: datetime | None = None) -> None:
        """Publish an archive with its sidecar."""
        self.server.publish(key, body, last_modified=at or next_morning(key))
        for each in (key, key + ".CHECKSUM"):
            self.published[each] = at or next_morning(key)

    def put_sidecar(self, key: str, of: bytes, at: datetime | None = None) -> None:
        """Publish a sidecar that names the digest of other bytes."""
        line = f"{sha256(of).hexdigest()}  {key.rpartition('/')[2]}"
        at = at or next_morning(key)
        self.server.put(key + ".CHECKSUM", line.encode(), last_modified=at)
        self.published[key + ".CHECKSUM"] = at

    def save(self, folder: Path) -> dict[str, str]:
        """Write what is published now below a folder; when each object was."""
        for key in self.published:
            path = folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.server.read(key))
        return {key: at.isoformat() for key, at in sorted(self.published.items())}


def next_morning(key: str) -> datetime:
    """When an archive is published: on the morning after its day, months in September."""
    period = key.removesuffix(".zip")[-10:]
    day = period if period.startswith("2023") else "2023-09-01"
    return datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1, hours=3)


def zipped(key: str, text: str, how: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of these lines."""
    member = key.rpartition("/")[2].removesuffix(".zip") + ".csv"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as archive:
        archive.writestr(zipfile.ZipInfo(member, (2023, 9, 1, 0, 0, 0)), text, how)
    return buffer.getvalue()


def trades() -> str:
    """Trades that are alike, and so packed small: more than 1 MiB, as what is resumed must be."""
    first_ms = 1_688_169_600_000
    return "".join(
        f"{3_000_000_001 + number},30000.00000000,0.50000000,15000.00000000,"
        f"{first_ms + 1000 * (number // 50)},{number % 2 == 0},True\n"
        for number in range(15_000)
    )


def ledger_facts() -> dict[str, Any]:
    """What the commands say of the ledger and of the files."""
    with closing(
        sqlite3.connect(f"file:{OUTPUT}/.lakehouse/ledger.sqlite?mode=ro", uri=True)
    ) as db:
        keys = [key for (key,) in db.execute("SELECT folder || name FROM archives ORDER BY 1")]
    window = ("--start", "2023-06-30", "--end", "2023-07-07")
    return {
        "versions": {key: run("history", key)["versions"] for key in keys},
        "changes": run("history", "--since", "2023-01-01")["changes"],
        "status": {
            name: value for name, value in run("status", *window).items() if name != "today"
        },
        "verify": run("verify"),
    }


def tables_of(place: Path) -> dict[str, Any]:
    """Every row of every version of every table of a lake."""
    with Lake.open(place) as lake:
        return {name: versions(lake, name) for name in lake.tables if name != "lakehouse.archives"}


def versions(lake: Lake, name: str) -> dict[str, Any]:
    """Every row of every version of a table."""
    columns = [*lake.scan(name).columns, "archive"]
    snapshots = []
    for each in lake.snapshots(name):
        scan = lake.scan(name, columns=columns, as_of=each.at + timedelta(milliseconds=1))
        rows = sorted([plain(value) for value in row] for row in scan.polars().collect().rows())
        assert len(rows) == each.rows
        facts = {"snapshot_id": each.snapshot_id, "at": each.at.isoformat(),
                 "operation": each.operation, "added": each.added, "removed": each.removed,
                 "files": each.files, "commit": each.commit}  # fmt: skip
        snapshots.append({"facts": facts, "rows": rows})
    return {"columns": columns, "snapshots": snapshots}


def provenance() -> list[dict[str, Any]]:
    """What the lake says of archives, all that it ever said."""
    with Lake.open(OUTPUT) as lake:
        relation = lake.sql("FROM lakehouse.archive_history ORDER BY recorded_at, archive")
        rows = relation.to_arrow_table().to_pylist()
    return [{name: plain(value) for name, value in row.items()} for row in rows]


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def text_of(value: Any, margin: str = "") -> str:
    """JSON with a line for each record and each row."""
    nested = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list) or not any(isinstance(x, dict | list) for x in nested):
        return json.dumps(value, ensure_ascii=False)
    inner = margin + " "
    if isinstance(value, dict):
        items = [f"{inner}{json.dumps(name)}: {text_of(x, inner)}" for name, x in value.items()]
        return "{\n" + ",\n".join(items) + f"\n{margin}}}"
    return "[\n" + ",\n".join(inner + text_of(x, inner) for x in value) + f"\n{margin}]"


def pack(target: Path) -> None:
    """Pack all of it: sorted, of nobody, and with times to the nanosecond, as the ledger has."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(PLACE.rglob("*")):
            if path.name.endswith(("-wal", "-shm")):  # SQLite's, of commands that only read
                assert path.name.endswith("-shm") or path.stat().st_size == 0
                continue
            info = tar.gettarinfo(path, path.relative_to(PLACE).as_posix())
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            info.mode = 0o755 if info.isdir() else 0o644
            seconds, rest = divmod(path.stat().st_mtime_ns, 1_000_000_000)
            info.pax_headers = {"mtime": f"{seconds}.{rest:09}"}
            if info.isfile():
                with path.open("rb") as file:
                    tar.addfile(info, file)
            else:
                tar.addfile(info)
    target.write_bytes(gzip.compress(buffer.getvalue(), 9, mtime=0))


if __name__ == "__main__":
    if sys.argv[1:] == ["killed"]:
        ingest_and_be_killed()
    main()
