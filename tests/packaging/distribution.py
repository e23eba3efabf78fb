"""Build the wheel and the sdist, and use them as a stranger does: `make dist`.

1. hatchling builds both into `dist/`; a wheel that is built from the sdist holds the same files.
2. The wheel is installed alone into an empty environment: its version, its matrix, a collection,
   and every public name. What needs an extra says so.
3. Each extra is installed alone into another one, and does its work once.
4. From the unpacked sdist as many tests are collected as here.

It takes two to four minutes, so `make test` leaves it out. Versions are those of `requirements/`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen
from tests.proxies.scene import HTTP, place_of
from tests.proxies.socks_server import SocksServer

from crypto_lakehouse import __version__
from crypto_lakehouse.testing import ArchiveServer

_ROOT = Path(__file__).parents[2]

_SELECTED = ("-s", "BTCUSDT", "--markets", "spot", "-t", "klines", "-i", "1h",
             "--date", "2025-07-15", "--discovery", "calendar")  # fmt: skip

#: Imports every module and every public name; prints those that lack a package, and which.
_IMPORT_ALL = """
import importlib, pkgutil
import crypto_lakehouse
found = ["crypto_lakehouse"] + [
    module.name for module in pkgutil.walk_packages(
        crypto_lakehouse.__path__, "crypto_lakehouse.", onerror=lambda name: None)
]
for name in found:
    if name.endswith("__main__"):
        continue
    try:
        module = importlib.import_module(name)
        for public in getattr(module, "__all__", ()):
            getattr(module, public)
    except ModuleNotFoundError as error:
        print(name, error.name.partition(".")[0])
"""

#: What each extra brings, by the names of its modules.
_EXTRAS = {
    "plot": {"matplotlib"},
    "socks": {"aiohttp_socks"},
    "tables": {"duckdb", "polars", "pyarrow", "pyiceberg"},
}

#: The pytest plugin is loaded by pytest, which the package does not require.
_NO_EXTRA = {"pytest"}


class Fault(Exception):
    """What is built cannot be used."""


@frozen
class Environment:
    """A virtual environment that has the wheel, perhaps with an extra.

    Attributes:
        folder: Where it is.
        home: An empty directory, in which its commands run.
    """

    folder: Path
    home: Path

    @classmethod
    def make(cls, folder: Path, wheel: Path, extra: str, constraints: Path) -> Environment:
        """Create the environment and install the wheel into it."""
        run([sys.executable, "-m", "venv", str(folder)], folder.parent)
        home = folder / "home"
        home.mkdir()
        wanted = f"{wheel}[{extra}]" if extra else str(wheel)
        made = cls(folder, home)
        made.python("-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                    "--constraint", str(constraints), wanted)  # fmt: skip
        made.python("-m", "pip", "check")
        return made

    def python(self, *arguments: str) -> str:
        """Run its Python, which sees nothing of the repository."""
        return run([str(self.folder / "bin" / "python"), *arguments], self.home)

    def command(self, *arguments: str, wanted: int = 0) -> str:
        """Run `crypto-lakehouse`."""
        program = str(self.folder / "bin" / "crypto-lakehouse")
        return run([program, *arguments], self.home, wanted)

    def lacking(self) -> dict[str, str]:
        """Import every public name; the modules that cannot be imported, and what they lack."""
        lines = self.python("-c", _IMPORT_ALL).splitlines()
        return dict(line.split() for line in lines)


def run(command: Sequence[str], folder: Path, wanted: int = 0, path: str = "") -> str:
    """Run a command in a directory.

    Returns:
        Its standard output and its standard error.

    Raises:
        Fault: It ends with another exit code than the wanted one.
    """
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if path:
        environment["PYTHONPATH"] = path
    done = subprocess.run(command, cwd=folder, env=environment, check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
    if done.returncode != wanted:
        raise Fault(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def demand(holds: object, sentence: str) -> None:
    """Raise a fault if something does not hold."""
    if not holds:
        raise Fault(sentence)


def say(sentence: str) -> None:
    """Print a line at once."""
    sys.stdout.write(sentence + "\n")
    sys.stdout.flush()


def build(kind: str, source: Path, into: Path) -> Path:
    """Build a wheel or an sdist, and return the one file that was made."""
    before = set(into.iterdir())
    run([sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(into)], source)
    (made,) = set(into.iterdir()) - before
    return made


def members(wheel: Path) -> list[str]:
    """The names in a wheel."""
    with zipfile.ZipFile(wheel) as file:
        return sorted(file.namelist())


def check_contents(wheel: Path, unpacked: Path, scratch: Path) -> None:
    """Both hold every module and every fact file; the sdist builds the same wheel."""
    held = members(wheel)
    for path in (_ROOT / "src").rglob("*.py"):
        demand(path.relative_to(_ROOT / "src").as_posix() in held, f"the wheel lacks {path.name}")
    for path in (_ROOT / "matrix").glob("*.json"):
        demand(f"crypto_lakehouse/matrix/{path.name}" in held, f"the wheel lacks {path.name}")
    demand("crypto_lakehouse/py.typed" in held, "the wheel lacks py.typed")
    demand(not any(name.startswith("tests/") for name in held), "the wheel holds tests")
    again = scratch / "again"
    again.mkdir()
    demand(members(build("wheel", unpacked, again)) == held, "the sdist builds another wheel")


def collected(folder: Path) -> int:
    """How many tests pytest finds in a source tree."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    found = re.search(r"^(\d+) tests collected", run(command, folder, path=str(folder / "src")),
                      re.MULTILINE)  # fmt: skip
    demand(found, f"pytest does not say how many tests {folder} has")
    assert found is not None
    return int(found[1])


def constraints(into: Path) -> Path:
    """Write the pinned versions as constraints: a wheel that was just built has no known hash."""
    pins = "".join((_ROOT / "requirements" / f"{name}.txt").read_text()
                   for name in ("runtime", "develop"))  # fmt: skip
    file = into / "constraints.txt"
    file.write_text(re.sub(r" \\\n +--hash=\S+", "", pins))
    return file


def collect(environment: Environment, server: ArchiveServer) -> None:
    """Collect one archive from a server on this machine."""
    environment.command("collect", "-o", "data", *_SELECTED, "--source-url", server.url)


def check_alone(environment: Environment, server: ArchiveServer) -> None:
    """Without an extra: the commands, the public names, and the errors that name an extra."""
    demand(__version__ in environment.command("--version"), "--version shows another version")
    demand("klines" in environment.command("matrix"), "matrix does not show klines")
    lacking = environment.lacking()
    allowed = set().union(*_EXTRAS.values(), _NO_EXTRA)
    others = {name: package for name, package in lacking.items() if package not in allowed}
    demand(not others, f"modules lack packages that no extra brings: {others}")
    collect(environment, server)
    said = environment.command("status", "-o", "data", "--json")
    demand("BTCUSDT" in said, f"status does not show the archive: {said}")
    said = environment.command("ingest", "-o", "data", wanted=2)
    demand("crypto-lakehouse[tables]" in said, f"ingest does not name its extra: {said}")


def check_plot(environment: Environment, server: ArchiveServer) -> None:
    """The extra `plot` draws the coverage."""
    collect(environment, server)
    environment.command("status", "-o", "data", "--plot", "coverage.svg")
    picture = (environment.home / "coverage.svg").read_text()
    demand("<svg" in picture, "status --plot wrote no SVG")


def check_socks(environment: Environment, server: ArchiveServer) -> None:
    """The extra `socks` collects through a SOCKS proxy, which alone knows the source's name."""
    with SocksServer(names={HTTP: place_of(server)}) as proxy:
        environment.command("collect", "-o", "data", *_SELECTED, "--source-url", f"http://{HTTP}",
                            "--allow-http", "--proxy", proxy.url())  # fmt: skip
        demand(HTTP in proxy.hosts, "the proxy was not used")


def check_tables(environment: Environment, server: ArchiveServer) -> None:
    """The extra `tables` ingests, and answers a question."""
    collect(environment, server)
    environment.command("ingest", "-o", "data")
    said = environment.command("query", "-o", "data", "SELECT count(*) FROM spot.klines")
    demand("24" in said, f"the table does not hold 24 bars: {said}")


def check(scratch: Path) -> None:
    """Build, and check all that is promised above."""
    dist = _ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    dist.mkdir()
    wheel, sdist = build("wheel", _ROOT, dist), build("sdist", _ROOT, dist)
    say(f"built {wheel.name} and {sdist.name}")

    with tarfile.open(sdist) as file:
        file.extractall(scratch / "sdist", filter="data")
    (unpacked,) = (scratch / "sdist").iterdir()
    check_contents(wheel, unpacked, scratch)
    here, there = collected(_ROOT), collected(unpacked)
    demand(here == there, f"{here} tests are collected here, {there} from the sdist")
    say(f"the sdist builds the same wheel, and has all {there} tests")

    pinned = constraints(scratch)
    checks = {"": check_alone, "plot": check_plot, "socks": check_socks, "tables": check_tables}
    with ArchiveServer() as server:
        for extra, work in checks.items():
            environment = Environment.make(scratch / (extra or "alone"), wheel, extra, pinned)
            work(environment, server)
            brought = _EXTRAS.get(extra, set())
            broken = {name: of for name, of in environment.lacking().items() if of in brought}
            demand(not broken, f"the extra {extra} lacks what it is for: {broken}")
            say(f"the wheel with the extra {extra} works" if extra else "the wheel alone works")


def main() -> int:
    """Check everything; the exit code says whether it holds."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            check(Path(scratch))
        except Fault as fault:
            say(str(fault))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
