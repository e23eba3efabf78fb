"""Who is compared: this engine's command line, and those of the tools that people use today.

A contestant writes everything of a mirror below an output directory, verified: those that do not
verify by themselves are followed by `sha256sum -c`, and that is counted.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from shlex import join, quote

from attrs import field, frozen

from benchmarks.suite.mirrors import Mirror
from benchmarks.suite.servers import Site

__all__ = ["Contestant", "ours", "rivals", "scripted"]

#: Makes the command of one run, from the folder for its input files and the output directory.
MakeCommand = Callable[[Path, Path], list[str]]

_OURS = "from crypto_lakehouse.cli.main import main; main()"


@frozen
class Contestant:
    """One way of doing the same work.

    Attributes:
        name: As it is shown.
        command: Makes the command of one run.
        check: Raises where the standard output shows that the work was not done.
        environment: Merged over this process's own.
    """

    name: str
    command: MakeCommand
    check: Callable[[bytes], None] = field(default=lambda _: None)
    environment: Mapping[str, str] = field(factory=dict)


def ours(
    name: str, site: Site, mirror: Mirror, *, python: str = sys.executable, **changes: object
) -> Contestant:
    """This engine, as a whole process of the command line; keys of the configuration change it.

    Args:
        name: As it is shown.
        site: Where the mirror is served.
        mirror: What is collected.
        python: The interpreter; another one may import another version.
        changes: Keys of the configuration.
    """
    config = {
        "source_url": site.url,
        "markets": ["spot"],
        "discovery": "calendar",
        **mirror.selection,
        **changes,
    }

    def command(inputs: Path, output: Path) -> list[str]:
        path = inputs / "config.json"
        path.write_text(json.dumps({**config, "output_directory": str(output)}))
        return [python, "-c", _OURS, "collect", "--config", str(path), "--json", "-q"]

    def check(printed: bytes) -> None:
        totals = json.loads(printed)["totals"]
        if totals["verified"] != len(mirror.archives):
            raise RuntimeError(f"{name}: {totals}")

    return Contestant(name, command, check, site.environment)


def rivals(site: Site, mirror: Mirror, connections: int, *, large: bool) -> list[Contestant]:
    """The rivals that are installed; those that are not are named on standard error."""
    found = []
    for tool, name, make in (
        ("aria2c", "aria2c", _aria2c),
        ("curl", "curl, sha256sum", _curl),
        ("wget2", "wget2, sha256sum", _wget2),
    ):
        if shutil.which(tool) is None:
            print(f"{tool} is not installed, and left out: make system-packages", file=sys.stderr)
        elif not (large and tool == "wget2"):
            command = make(site, mirror, connections, large)
            found.append(Contestant(name, command, environment=site.environment))
    return found


def scripted(site: Site, mirror: Mirror, connections: int) -> list[Contestant]:
    """Downloaders in Python: aiohttp and aiofiles as people write it, and parfive."""
    found = [_scripted("aiohttp, aiofiles", "naive_aiohttp.py", site, mirror, connections)]
    if find_spec("parfive") is None:
        print("parfive is not installed, and left out", file=sys.stderr)
    else:
        found.append(_scripted("parfive", "with_parfive.py", site, mirror, connections))
    return found


def _scripted(name: str, file: str, site: Site, mirror: Mirror, connections: int) -> Contestant:
    script = Path(__file__).with_name(file)

    def command(inputs: Path, output: Path) -> list[str]:
        path = inputs / "urls"
        path.write_text("".join(f"{site.url}/{key} {output}/{key}\n" for key in mirror.keys))
        return [sys.executable, str(script), str(path), str(connections)]

    return Contestant(name, command, environment=site.environment)


def _aria2c(site: Site, mirror: Mirror, connections: int, large: bool) -> MakeCommand:
    """aria2c; large archives with `checksum=`, small ones are fetched only."""

    def command(inputs: Path, output: Path) -> list[str]:
        path = inputs / "aria2c"
        sums = _digests(mirror) if large else {}
        path.write_text(
            "".join(
                f"{site.url}/{key}\n  out={key}\n"
                + (f"  checksum=sha-256={sums[key]}\n" if key in sums else "")
                for key in mirror.keys
            )
        )
        options = ["-q", f"-j{connections}", "-x1", "--file-allocation=none"]
        options += _trust("--ca-certificate", site)
        return ["aria2c", *options, "-d", str(output), "-i", str(path)]

    return command


def _curl(site: Site, mirror: Mirror, connections: int, large: bool) -> MakeCommand:
    def command(inputs: Path, output: Path) -> list[str]:
        path = inputs / "curl"
        lines = (f'url={site.url}/{key}\noutput="{output}/{key}"\n' for key in mirror.keys)
        path.write_text("".join(lines))
        options = ["-s", "-Z", "--parallel-max", str(connections), "--create-dirs"]
        options += _trust("--cacert", site)
        fetch = join(["curl", *options, "-K", str(path)])
        return _then_verify(f"{fetch} >/dev/null 2>&1", output, large)

    return command


def _wget2(site: Site, mirror: Mirror, connections: int, large: bool) -> MakeCommand:
    def command(inputs: Path, output: Path) -> list[str]:
        path = inputs / "wget2"
        path.write_text("".join(f"{site.url}/{key}\n" for key in mirror.keys))
        options = ["-q", "-x", "-nH", "--no-compression", "--max-threads", str(connections)]
        options += _trust("--ca-certificate", site)
        fetch = join(["wget2", *options, "-P", str(output), "-i", str(path)])
        return _then_verify(fetch, output, large)

    return command


def _trust(option: str, site: Site) -> list[str]:
    """A tool's option that names the site's authority, where it has one."""
    return [] if site.authority is None else [option, str(site.authority)]


def _then_verify(fetch: str, output: Path, large: bool) -> list[str]:
    """Check all sums after the fetch; of large archives on two cores, as their number allows it."""
    # Most published sidecars end without a line break; awk adds it.
    each_folder = "(cd $d && awk 1 *.CHECKSUM | sha256sum -c --quiet)"
    if large:
        each_folder = (
            "(cd $d && awk 1 *.CHECKSUM |"
            " xargs -d '\\n' -P2 -n1 sh -c 'echo \"$0\" | sha256sum -c --quiet')"
        )
    folders = "$(find . -name '*.CHECKSUM' -printf '%h\\n' | sort -u)"
    verify = f"for d in {folders}; do {each_folder} || exit 1; done"
    return ["sh", "-c", f"{fetch} && cd {quote(str(output))} && {verify}"]


def _digests(mirror: Mirror) -> Mapping[str, str]:
    return {
        archive.key: (mirror.root / archive.sidecar_key).read_text()[:64]
        for archive in mirror.archives
    }
