"""Refresh a matrix: crawl a source's folders, and write down which symbols it has."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path

from anyio import to_thread
from attrs import frozen

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.events import RunNoted
from crypto_lakehouse.core.protocols import Emit, ignore_async
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.matrix.crawl import CrawlProgress, crawl
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.matrix.model import Matrix
from crypto_lakehouse.matrix.writer import matrix_text
from crypto_lakehouse.stores.whole_file import whole_file
from crypto_lakehouse.workflows.wiring.make_plan import open_lister
from crypto_lakehouse.workflows.wiring.network import Network
from crypto_lakehouse.workflows.wiring.transport_stack import open_client, parallel_downloads

__all__ = ["RefreshedMatrix", "check_destination", "refresh_matrix", "write_matrix"]


@frozen(kw_only=True)
class RefreshedMatrix:
    """A matrix as a source's listing has it today.

    Attributes:
        base: The matrix that it was made from.
        matrix: The base with the symbols and intervals that are listed.
        notes: What its reader should know, a sentence each.
        listed: How many prefixes were listed.
    """

    base: Matrix
    matrix: Matrix
    notes: tuple[str, ...]
    listed: int


async def refresh_matrix(
    *,
    source_url: str | None = None,
    listing_url: str | None = None,
    allow_http: bool | None = None,
    proxy: str | None = None,
    ca_bundle: str | os.PathLike[str] | None = None,
    matrix_path: str | os.PathLike[str] | None = None,
    max_parallel_downloads: int | str | None = None,
    timeout_seconds: float | None = None,
    max_retries: int | None = None,
    today: date | None = None,
    environ: Mapping[str, str] | None = None,
    retry: RetryPolicy | None = None,
    emit: Emit = ignore_async,
    on_progress: Callable[[CrawlProgress], None] | None = None,
) -> RefreshedMatrix:
    """List the folders of a source, and make the matrix that they show; nothing is written.

    The first nine are configuration keys and mean what they mean there; None is what the
    environment says, or the default. A source without a `listing_url` is asked itself.

    Args:
        source_url: The source.
        listing_url: Its S3 listing; known for the default source.
        allow_http: Whether hosts other than this machine are asked without TLS.
        proxy: Through which proxy requests go.
        ca_bundle: A file of the certificate authorities that are trusted.
        matrix_path: The matrix to begin with; the shipped one by default.
        max_parallel_downloads: How many prefixes are listed at once.
        timeout_seconds: How long the source may be silent, in seconds.
        max_retries: How often a failed request is tried again.
        today: The day that the matrix is as of; the UTC day by default.
        environ: Environment variables; the process's own by default, `{}` for none.
        retry: When to try again; by `max_retries` by default.
        emit: Takes the events: the proxy that is used, and requests that are tried again.
        on_progress: Told of each prefix.

    Raises:
        ConfigurationError: A value that cannot be used; all at once.
        ExtraMissing: A SOCKS proxy is used, and the extra `socks` is not installed.
        MatrixError: The base cannot be read.
        ListingError: A prefix could not be listed; there is no part of a matrix then.
    """
    given = {
        "source_url": source_url,
        "listing_url": listing_url,
        "allow_http": allow_http,
        "proxy": proxy,
        "ca_bundle": ca_bundle,
        "matrix_path": matrix_path,
        "max_parallel_downloads": max_parallel_downloads,
        "timeout_seconds": timeout_seconds,
        "max_retries": max_retries,
    }
    overrides = {name: value for name, value in given.items() if value is not None}
    config = WorkflowConfig(
        {"output_directory": "."},
        environ=environ,
        overrides={**overrides, "discovery": "listing"},
    )
    network = Network.of(config, environ)
    base = await to_thread.run_sync(load_matrix, config.matrix_path)
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
            on_progress=on_progress or _ignore,
        )
    return RefreshedMatrix(
        base=base,
        matrix=crawled.matrix,
        notes=(*config.warnings, *base.corrections, *crawled.notes),
        listed=crawled.listed,
    )


def _ignore(_progress: CrawlProgress) -> None:
    return None


def check_destination(path: Path, *, overwrite: bool) -> None:
    """Refuse a file that could not be written when the matrix is there.

    Raises:
        ConfigurationError: It is there and may not be overwritten, or can be no file.
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
    if path.exists() and not overwrite:
        return "exists already; name another file, or overwrite it with --force"
    return ""


def write_matrix(matrix: Matrix, path: Path, *, overwrite: bool = False) -> None:
    """Write a matrix file, whole or not at all.

    Raises:
        ConfigurationError: As `check_destination`, or the disk said no.
    """
    check_destination(path, overwrite=overwrite)
    try:
        with whole_file(path) as part:
            part.write_text(matrix_text(matrix), encoding="utf-8", newline="\n")
    except OSError as error:
        reason = f"`{path}` cannot be written: {error.strerror or error}"
        raise ConfigurationError([Problem("--to", reason)]) from error
