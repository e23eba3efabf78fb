"""Refresh a matrix: crawl a source's folders, and record which symbols it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from attrs import evolve, frozen
from yarl import URL

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.events import RunNoted
from crypto_lakehouse.core.input_files import read_in_thread
from crypto_lakehouse.core.protocols import Emit, ignore, ignore_async
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.matrix.crawl import CrawlProgress, crawl
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.matrix.model import Matrix
from crypto_lakehouse.matrix.writer import matrix_text
from crypto_lakehouse.stores.whole_file import replaces_file, whole_file
from crypto_lakehouse.workflows.wiring.load_config import load_config
from crypto_lakehouse.workflows.wiring.make_plan import open_lister
from crypto_lakehouse.workflows.wiring.network import Network
from crypto_lakehouse.workflows.wiring.transport_stack import open_client, parallel_downloads

__all__ = ["RefreshedMatrix", "check_destination", "refresh_matrix", "write_matrix"]


@frozen(kw_only=True)
class RefreshedMatrix:
    """A matrix that agrees with a source's listing of today.

    Attributes:
        base: The matrix that it was made from.
        matrix: The base, with the symbols and intervals that are listed.
        notes: Remarks for the reader, one sentence each.
        listed: How many prefixes were listed.
    """

    base: Matrix
    matrix: Matrix
    notes: tuple[str, ...]
    listed: int


async def refresh_matrix(
    config: WorkflowConfig | Mapping[str, Any] | str | PathLike[str],
    *,
    today: date | None = None,
    retry: RetryPolicy | None = None,
    emit: Emit = ignore_async,
    on_progress: Callable[[CrawlProgress], None] = ignore,
) -> RefreshedMatrix:
    """List the folders of a source, and make the matrix that they show; nothing is written.

    Args:
        config: A configuration, a mapping, or the path of a file. It names the source, its listing
            (the source itself if there is no `listing_url`), the network settings, and the matrix
            to begin with. Its selection is not used.
        today: The date of the matrix; the current UTC day by default.
        retry: When to try again; by the configuration's `max_retries` by default.
        emit: Receives the events: the proxy that is used, and requests that are retried.
        on_progress: Called after each prefix.

    Raises:
        ConfigurationError: A proxy or a file of certificates cannot be used.
        ExtraMissing: A SOCKS proxy is used, and the extra `socks` is not installed.
        MatrixError: The matrix to begin with cannot be read.
        ListingError: A prefix could not be listed; no partial matrix is returned.
    """
    config = await load_config(config)
    network = Network.of(config)
    base = await read_in_thread(partial(load_matrix, config.matrix_path))
    if network.note:
        await emit((RunNoted(message=network.note),))
    parallel = parallel_downloads(config)
    policy = retry or RetryPolicy(max_retries=config.max_retries)
    async with open_client(config, parallel, network=network) as client:
        crawled = await crawl(
            open_lister(config, client, policy, emit),
            base,
            today=today or datetime.now(UTC).date(),
            workers=parallel,
            on_progress=on_progress,
        )
    return RefreshedMatrix(
        base=base,
        matrix=evolve(
            crawled.matrix,
            source_url=_public(config.source_url),
            listing_url=_public(config.listing_url or config.source_url),
        ),
        notes=(*config.warnings, *base.corrections, *crawled.notes),
        listed=crawled.listed,
    )


def _public(url: str) -> str:
    """A source's URL as a file may have it: without user and password."""
    return str(URL(url).with_user(None))


def check_destination(path: Path, *, overwrite: bool) -> None:
    """Refuse a file that cannot be written, before anything is requested.

    Raises:
        ConfigurationError: The file exists and may not be overwritten, or cannot be a file.
    """
    try:
        reason = _obstacle(path, overwrite=overwrite)
    except OSError as error:
        reason = f"cannot be written: {error.strerror or error}"
    if reason:
        raise ConfigurationError([Problem("--to", f"`{path}` {reason}")])


def _obstacle(path: Path, *, overwrite: bool) -> str:
    if path.is_dir():
        return "is a directory; name a file"
    if not path.parent.is_dir():
        return "cannot be written: its directory does not exist"
    if replaces_file(path) and not overwrite:
        return "exists already; name another file, or overwrite it with --force"
    return ""


def write_matrix(matrix: Matrix, path: Path, *, overwrite: bool = False) -> None:
    """Write a matrix file, whole or not at all.

    Raises:
        ConfigurationError: As `check_destination`, or the disk refuses the file.
    """
    check_destination(path, overwrite=overwrite)
    try:
        with whole_file(path) as file:
            file.write(matrix_text(matrix).encode())
    except OSError as error:
        reason = f"`{path}` cannot be written: {error.strerror or error}"
        raise ConfigurationError([Problem("--to", reason)]) from error
