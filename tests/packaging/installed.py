"""Build the wheel and the sdist, and install the wheel into empty environments."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import frozen
from tests.services.installed import absent, program

ROOT = Path(__file__).parents[2]

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

#: The beginning of a command with pip, before those of its options that all of its commands have.
PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check")


def run(command: Sequence[str], folder: Path, wanted: int = 0) -> str:
    """Run a command in a directory, without the repository on its path.

    Returns:
        Its standard output and its standard error.

    Raises:
        AssertionError: Its exit code is not the wanted one.
    """
    hidden = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "COVERAGE_PROCESS_CONFIG",
              "COVERAGE_PROCESS_START")  # fmt: skip
    # uv has certificates of its own, by default; pip trusts those of the system.
    environment = {"UV_SYSTEM_CERTS": "1"}
    environment |= {key: value for key, value in os.environ.items() if key not in hidden}
    done = subprocess.run(command, cwd=folder, env=environment, check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
    if done.returncode != wanted:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def build(kind: str, source: Path, into: Path) -> Path:
    """Build a wheel or an sdist into an empty directory, and return its file."""
    into.mkdir()
    run([sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(into)], source)
    (made,) = into.iterdir()
    return made


#: Extras whose packages are pinned with all that these need.
ORCHESTRATORS = frozenset({"dagster", "prefect"})


def constraints(extra: str) -> str:
    """The pinned versions as constraints for pip, which knows no hash of a wheel just built."""
    of_others = ("runtime", "tables", "develop")
    names = ("orchestrators",) if extra in ORCHESTRATORS else of_others
    pins = "".join((ROOT / "requirements" / f"{name}.txt").read_text() for name in names)
    return re.sub(r" \\\n +--hash=\S+", "", pins)


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
    def make(
        cls, folder: Path, wheel: Path, extra: str, base: Environment | None = None
    ) -> Environment:
        """Create the environment and install the wheel into it: an extra with uv, if it is there.

        Bytecode is made when a module is first imported: most are not. That of the base is made at
        once, as files that come and go cannot be copied.

        Args:
            folder: Where it will be.
            wheel: The package.
            extra: The extra; empty for none.
            base: The environment without an extra, whose packages need not be fetched and unpacked
                again: with an extra, the same ones are needed.
        """
        run([sys.executable, "-m", "venv", "--without-pip", str(folder)], folder.parent)
        made = cls(folder, folder / "home")
        made.home.mkdir()
        if base is not None:
            shutil.copytree(
                base.packages, made.packages, copy_function=os.link, dirs_exist_ok=True,
                ignore=shutil.ignore_patterns("crypto_lakehouse*"),
            )  # fmt: skip
        pins = folder / "constraints.txt"
        pins.write_text(constraints(extra))
        wanted = f"{wheel}[{extra}]" if extra else str(wheel)
        if extra and not uv_fault():
            uv = [str(program("checkers").with_name("uv")), "pip"]
            of = ("--quiet", "--python", made.interpreter)
            run([*uv, "install", *of, "--constraint", str(pins), wanted], made.home)
            run([*uv, "check", *of], made.home)
            return made
        pip = [sys.executable, *PIP, "--python", made.interpreter]
        options = ("--no-compile",) if extra else ()
        run([*pip, "install", *options, "--constraint", str(pins), wanted], made.home)
        run([*pip, "check"], made.home)
        return made

    @property
    def packages(self) -> Path:
        """The folder of its packages."""
        (found,) = self.folder.glob("lib/python*/site-packages")
        return found

    @property
    def interpreter(self) -> str:
        """Path of its Python."""
        return str(self.folder / "bin" / "python")

    def python(self, *arguments: str) -> str:
        """Run its Python, which sees nothing of the repository."""
        return run([self.interpreter, *arguments], self.home)

    def command(self, *arguments: str, wanted: int = 0) -> str:
        """Run `crypto-lakehouse`."""
        program = str(self.folder / "bin" / "crypto-lakehouse")
        return run([program, *arguments], self.home, wanted)

    def lacking(self) -> dict[str, str]:
        """Import every public name; return the modules that fail, and the package each lacks."""
        lines = self.python("-c", _IMPORT_ALL).splitlines()
        return dict(line.split() for line in lines)


@functools.cache
def uv_fault() -> str:
    """Why uv gets no package, empty if it does: it does not read the settings of pip."""
    if "checkers" in absent():
        return "it is not installed: run `make servers`"
    with TemporaryDirectory() as scratch:
        command = [str(program("checkers").with_name("uv")), "pip", "install", "--dry-run",
                   "--no-cache", "--target", scratch, "aiofiles", "hatchling"]  # fmt: skip
        try:
            run(command, Path(scratch))
        except AssertionError as error:
            return str(error)[-300:]
    return ""


def index_fault(scratch: Path) -> str:
    """Why pip gets no package, empty if it does."""
    command = [sys.executable, *PIP, "download", "--no-deps", "--no-cache-dir",
               "--dest", str(scratch), "attrs"]  # fmt: skip
    done = subprocess.run(command, check=False, text=True, capture_output=True)
    return done.stderr.strip()[-200:] if done.returncode else ""
