"""Read the archives that a user acknowledges, from the configuration and its file."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from pathlib import Path

from crypto_lakehouse.core.acknowledged import Acknowledged, entry_fault
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.input_files import read_input
from crypto_lakehouse.core.messages import MOST_NAMED

__all__ = ["load_acknowledged"]


def load_acknowledged(config: WorkflowConfig) -> Acknowledged:
    """Return what `acknowledge` and `holes_path` name; blocking.

    Raises:
        ConfigurationError: The file cannot be read, or a line is neither a key nor a glob.
    """
    entries = [*config.acknowledge]
    if config.holes_path is not None:
        entries += _read(config.holes_path)
    return Acknowledged.of(entries)


def _read(path: str) -> list[str]:
    try:
        data = read_input(Path(path).expanduser()).removeprefix(codecs.BOM_UTF8)
        lines = data.decode().splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            [Problem("$.holes_path", f"`{path}` cannot be read: {reason}")]
        ) from error
    problems = [
        Problem("$.holes_path", f"`{path}`, line {number}: {fault}")
        for number, entry in _entries(lines)
        if (fault := entry_fault(entry))
    ]
    if len(problems) > MOST_NAMED:
        more = Problem("$.holes_path", f"{len(problems)} lines of `{path}` are wrong in all")
        problems = [*problems[:MOST_NAMED], more]
    if problems:
        raise ConfigurationError(problems)
    return [entry for _, entry in _entries(lines)]


def _entries(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """The lines that are not empty, without comments, with their numbers."""
    for number, line in enumerate(lines, 1):
        entry = line.partition("#")[0].strip()
        if entry:
            yield number, entry
