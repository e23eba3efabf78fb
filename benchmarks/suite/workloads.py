"""The workloads, and what each must reach."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from benchmarks.suite.contestants import Contestant, ours, rivals, scripted
from benchmarks.suite.mirrors import Mirror, large_mirror, small_mirror
from benchmarks.suite.rounds import Series, interleaved
from benchmarks.suite.servers import Site, nginx_serving
from crypto_lakehouse.testing import ArchiveServer

__all__ = ["WORKLOADS", "Outcome", "Scale", "Wanted"]

_SWEEP = (1, 4, 8, 16, 32, 64, 128, 256)


@frozen(kw_only=True)
class Scale:
    """How large, how often, and where.

    Attributes:
        rounds: Interleaved rounds.
        small: Small archives of S; T takes a fifth of them.
        mebibytes: Size of each of the eight large archives.
        memory: A folder in memory, where there is such a place.
        disk: A folder on a disk.
        before: The interpreter that imports the version before, if one is to be compared.
        only_ours: Leave out the rivals, and what is measured beside them alone.
    """

    rounds: int
    small: int
    mebibytes: int
    memory: Path
    disk: Path
    before: str | None = None
    only_ours: bool = False


@frozen
class Wanted:
    """One figure that a workload must reach; the note is shown beside it."""

    text: str
    least: float
    value: float
    is_at_most: bool = False
    note: str = ""

    @property
    def is_reached(self) -> bool:
        """Whether it is."""
        return self.value <= self.least if self.is_at_most else self.value >= self.least


@frozen
class Outcome:
    """What one workload showed.

    Attributes:
        name: As on the command line.
        title: In words.
        series: Each contestant's runs.
        work: How much one run does, in `unit`.
        wanted: What must be reached.
    """

    name: str
    title: str
    series: dict[str, Series]
    work: float
    unit: str
    wanted: list[Wanted]


@contextmanager
def _served(
    make: Callable[[Path], Mirror], folder: Path
) -> Iterator[tuple[Mirror, dict[str, Site]]]:
    with tempfile.TemporaryDirectory(dir=folder) as name:
        home = Path(name)
        home.chmod(0o755)
        mirror = make(home / "mirror")
        with nginx_serving(mirror.root, home / "nginx") as sites:
            yield mirror, sites


def _against(series: dict[str, Series], own: str, rival: str, least: float) -> list[Wanted]:
    """How many times as fast as a rival; nothing where one of the two did not run."""
    if own not in series or rival not in series:
        return []
    value = series[rival].median_s / series[own].median_s
    return [Wanted(f"{own}: times as fast as {rival}", least, value)]


def _ours(scale: Scale, site: Site, mirror: Mirror, connections: int) -> list[Contestant]:
    """This engine and, if it is to be compared, the version before."""
    pythons = {"ours": sys.executable}
    if scale.before is not None:
        pythons["before"] = scale.before
    return [
        ours(name, site, mirror, python=python, max_parallel_downloads=connections)
        for name, python in pythons.items()
    ]


def _rivals(
    scale: Scale, site: Site, mirror: Mirror, connections: int, *, large: bool = False
) -> list[Contestant]:
    return [] if scale.only_ours else rivals(site, mirror, connections, large=large)


def _against_before(series: dict[str, Series], least: float) -> list[Wanted]:
    """Its wall and processor time divided by ours, medians both; nothing where it did not run."""
    if "before" not in series:
        return []
    before, own = series["before"], series["ours"]
    spreads = ", ".join(
        "{} {:.2f}..{:.2f} s".format(one.name, *one.cpu_spread_s) for one in (before, own)
    )
    return [
        Wanted("before / ours, wall time", least, before.median_s / own.median_s),
        Wanted("before / ours, CPU time (tracked)", 0, before.cpu_s / own.cpu_s, note=spreads),
    ]


def small_archives(scale: Scale) -> list[Outcome]:
    """S: many small archives with their sidecars."""
    with _served(lambda root: small_mirror(root, scale.small), scale.memory) as (mirror, sites):
        site = sites["plain"]
        everybody = _ours(scale, site, mirror, 16)
        if not scale.only_ours:
            two = ours("ours, 2 processes", site, mirror, max_parallel_downloads=16, processes=2)
            everybody += [two, *_rivals(scale, site, mirror, 16)]
        in_memory = interleaved(everybody, scale.rounds, scale.memory)
        on_disk = {}
        if not scale.only_ours:
            # These take ten times as long; once is enough to see that.
            in_memory |= interleaved(scripted(site, mirror, 16), 1, scale.memory)
            on_disk = interleaved(everybody, 1, scale.disk)
    title = f"{scale.small} small archives and their sidecars, 16 connections"
    wanted = [
        *_against(in_memory, "ours", "aria2c", 1.4),
        *_against(in_memory, "ours", "curl, sha256sum", 0.75),
        *_against(in_memory, "ours, 2 processes", "aria2c", 2.1),
        *_against(in_memory, "ours, 2 processes", "curl, sha256sum", 1.2),
        *_against_before(in_memory, 0.92),
    ]
    work = scale.small
    outcomes = [Outcome("S", f"{title}, output in memory", in_memory, work, "archives", wanted)]
    if on_disk:
        title += ", output on the disk"
        outcomes.append(Outcome("S-disk", title, on_disk, work, "archives", []))
    return outcomes


def small_over_tls(scale: Scale) -> list[Outcome]:
    """S-tls: the archives of S over TLS, as the real source serves them."""
    with _served(lambda root: small_mirror(root, scale.small), scale.memory) as (mirror, sites):
        site = sites["tls"]
        everybody = _ours(scale, site, mirror, 16) + _rivals(scale, site, mirror, 16)
        series = interleaved(everybody, scale.rounds, scale.memory)
    title = f"{scale.small} small archives and their sidecars over TLS, 16 connections"
    wanted = _against_before(series, 0.92)
    return [Outcome("S-tls", title, series, scale.small, "archives", wanted)]


def large_archives(scale: Scale) -> list[Outcome]:
    """L: eight large archives, of incompressible and of real content."""
    kinds = ["stored"] if scale.only_ours else ["stored", "csv"]
    return [_large(scale, kind) for kind in kinds]


def _large(scale: Scale, kind: str) -> Outcome:
    def make(root: Path) -> Mirror:
        return large_mirror(root, 8, scale.mebibytes, kind)

    with _served(make, scale.memory) as (mirror, sites):
        site = sites["plain"]
        everybody = _ours(scale, site, mirror, 4) + _rivals(scale, site, mirror, 4, large=True)
        series = interleaved(everybody, scale.rounds, scale.memory)
    peak = series["ours"].peak_bytes / 1e6
    wanted = [Wanted("ours: peak resident MB", 110, peak, is_at_most=True)]
    if kind == "stored":
        wanted += _against(series, "ours", "aria2c", 2.8)
        wanted += _against(series, "ours", "curl, sha256sum", 1.4)
    wanted += _against_before(series, 0.95)
    name = "L" if kind == "stored" else "L-csv"
    title = f"8 archives of {scale.mebibytes} MiB ({kind}), 4 connections, verified"
    return Outcome(name, title, series, mirror.size_bytes / 1e6, "MB", wanted)


def slow_source(scale: Scale) -> list[Outcome]:
    """T: 40 ms to the first byte."""
    count = scale.small // 5
    with (
        _served(lambda root: small_mirror(root, count), scale.memory) as (mirror, sites),
        ArchiveServer(mirror.root) as listing,
    ):
        site = sites["slow"]
        listed = ours(
            "ours, integrity=listing",
            site,
            mirror,
            max_parallel_downloads=16,
            discovery="listing",
            listing_url=listing.url,
            integrity="listing",
            download_checksum=False,
        )
        everybody = _ours(scale, site, mirror, 16)
        others = _rivals(scale, site, mirror, 16)
        if not scale.only_ours:
            everybody += [listed, *others]
        series = interleaved(everybody, scale.rounds, scale.memory)
    ideal = 2 * count * 0.04 / 16
    wanted = [Wanted("ours: share of the ideal", 0.97, ideal / series["ours"].median_s)]
    for rival in others:
        wanted += _against(series, listed.name, rival.name, 1.9)
    wanted += _against_before(series, 0.95)
    title = f"{count} small archives at 40 ms, 16 connections; ideal {ideal:.1f} s"
    return [Outcome("T", title, series, count, "archives", wanted)]


def automatic(scale: Scale) -> Iterator[Outcome]:
    """A: `max_parallel_downloads: auto` against a sweep."""
    rounds = max(1, scale.rounds // 2)
    with _served(lambda root: small_mirror(root, scale.small), scale.memory) as (mirror, sites):
        yield _sweep("A-S", mirror, sites["plain"], _SWEEP[2:], rounds, scale)
        yield _sweep("A-T", mirror, sites["slow"], _SWEEP[4:], rounds, scale)
        yield _sweep("A-busy", mirror, sites["busy"], (16, 24, 32), 1, scale)
    count = min(192, scale.small // 50)

    def make(root: Path) -> Mirror:
        return large_mirror(root, count, 4, "stored")

    with _served(make, scale.memory) as (mirror, sites):
        yield _sweep("A-capped", mirror, sites["capped"], _SWEEP[3:], 1, scale)


def _sweep(
    name: str, mirror: Mirror, site: Site, settings: tuple[int, ...], rounds: int, scale: Scale
) -> Outcome:
    everybody = [
        ours(str(setting), site, mirror, max_parallel_downloads=setting)
        for setting in (*settings, "auto")
    ]
    refused: list[float] = []

    def after(contestant: str) -> None:
        if name == "A-busy":
            share = _refused_share(site.log)
            refused.extend([share] if contestant == "auto" else [])

    # A source that refuses makes some fixed settings fail archives: that is their result.
    if name == "A-busy":
        everybody = [Contestant(one.name, one.command) if one.name != "auto" else one
                     for one in everybody if one.name != "32"]  # fmt: skip
    series = interleaved(everybody, rounds, scale.memory, after)
    best = min(one.median_s for one in series.values() if one.name != "auto")
    wanted = [Wanted("auto: share of the best fixed", 0.9, best / series["auto"].median_s)]
    if refused:
        share = 100 * statistics.median(refused)
        wanted.append(Wanted("auto: % answered 503 after 2 s", 2.0, share, is_at_most=True))
    title = f"max_parallel_downloads: auto against fixed ones, {name[2:]}"
    return Outcome(name, title, series, len(mirror.archives), "archives", wanted)


def _refused_share(log: Path) -> float:
    """The share of requests that were refused later than two seconds after the first."""
    lines = [line.split() for line in log.read_text().splitlines()]
    log.write_text("")  # nginx appends
    first = min(float(moment) for moment, _ in lines)
    settled = [status for moment, status in lines if float(moment) > first + 2]
    return settled.count("503") / max(1, len(settled))


def start_up(scale: Scale) -> list[Outcome]:
    """U: what a run costs before and beside the wire."""
    program = "from crypto_lakehouse.cli.main import main; main()"
    helps = []
    for _ in range(10):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", program, "--help"], check=True, capture_output=True)
        helps.append(time.perf_counter() - started)
    with _served(lambda root: small_mirror(root, scale.small), scale.memory) as (mirror, sites):
        site = sites["plain"]
        own = ours("ours", site, mirror, max_parallel_downloads=16)
        series = interleaved([own], min(3, scale.rounds), scale.memory)
    cpu = 1e6 * series["ours"].cpu_s / scale.small
    wanted = [
        Wanted("`--help`, seconds", 0.25, statistics.median(helps), is_at_most=True),
        Wanted("processor time, us an archive (tracked)", float("inf"), cpu, is_at_most=True),
    ]
    return [Outcome("U", "start-up and processor time", series, scale.small, "archives", wanted)]


WORKLOADS: dict[str, Callable[[Scale], Iterable[Outcome]]] = {
    "S": small_archives,
    "S-tls": small_over_tls,
    "L": large_archives,
    "T": slow_source,
    "A": automatic,
    "U": start_up,
}
