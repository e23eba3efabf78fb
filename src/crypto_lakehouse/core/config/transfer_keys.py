"""The keys of `WorkflowConfig` that say how archives are fetched, and by what."""

from __future__ import annotations

from attrs import frozen

from crypto_lakehouse.core.config.keys import About, key
from crypto_lakehouse.core.config.selection_keys import SelectionKeys
from crypto_lakehouse.core.config.values import (
    Choice,
    Parallelism,
    Processes,
)

__all__ = ["TransferKeys"]


@frozen(init=False, kw_only=True)
class TransferKeys(SelectionKeys):
    """How archives are fetched: limits, retries, proofs, processes and clusters."""

    max_parallel_downloads: int | str = key(
        Parallelism,
        16,
        about=About(
            "The maximum number of parallel requests.",
            more="`auto` adapts to what the source and the connection can handle.",
            options=("-j",),
            metavar="N",
        ),
    )
    download_checksum: bool = key(bool, True, about=About("Keep the .CHECKSUM beside each zip."))
    integrity: str = key(
        Choice("sidecar", "listing", "both"),
        "sidecar",
        about=About(
            "How an archive is verified.",
            more="`listing` uses the listed MD5 ETag instead of a request for the sidecar.",
            metavar="HOW",
        ),
    )
    force_redownload: bool = key(
        bool, False, about=About("Fetch archives again even if they are verified.")
    )
    timeout_seconds: float = key(
        float,
        300.0,
        above=0,
        unit="seconds",
        about=About(
            "How long the source may send nothing before a request times out.",
            more="A whole body may take longer.",
            metavar="SECONDS",
        ),
    )
    max_retries: int = key(
        int,
        5,
        at_least=0,
        at_most=20,
        about=About(
            "How often a failed request is retried, with increasing delays.",
            more="The back-off is exponential with jitter; Retry-After is respected.",
            metavar="N",
        ),
    )
    max_bytes_per_second: int | None = key(
        int,
        None,
        at_least=1,
        unit="bytes",
        about=About(
            "A rate limit for the whole run, over all processes.", unset="no limit", metavar="SIZE"
        ),
    )
    max_bytes: int | None = key(
        int,
        None,
        at_least=1,
        unit="bytes",
        about=About(
            "How much one run may receive; then no further archive begins, and it exits with 6.",
            more="The next run goes on. See below.",
            unset="no limit",
            metavar="SIZE",
            since="0.2.0",
        ),
    )
    max_requests_per_second: float | None = key(
        float,
        None,
        above=0,
        about=About(
            "A rate limit for requests; 0.5 is one request every two seconds.",
            unset="no limit",
            metavar="N",
        ),
    )
    processes: int | str = key(
        Processes,
        1,
        about=About(
            "The number of worker processes.",
            more="`auto` starts one for each core. Useful for small archives on a fast connection.",
            metavar="N",
        ),
    )
    executor: str = key(
        Choice("processes", "dask"),
        "processes",
        about=About(
            "Who collects: worker processes of this machine, or workers of a Dask cluster.",
            more="See [scale-out](scale-out.md).",
            metavar="NAME",
            since="0.2.0",
        ),
    )
    dask_scheduler: str | None = key(
        str,
        None,
        about=About(
            "The address of a Dask scheduler, such as tcp://10.0.0.1:8786.",
            form="address",
            unset="a cluster of `processes` workers on this machine",
            metavar="ADDRESS",
            since="0.2.0",
        ),
    )
    shared_directory: bool = key(
        bool,
        False,
        about=About(
            "The workers of the Dask cluster see the output directory under the same path.",
            more="For a network file system that all of them mount, and that has file locks.",
            since="0.2.0",
        ),
    )
    segmented_downloads: str = key(
        Choice("auto", "off"),
        "auto",
        about=About(
            "Fetch very large archives over several connections.",
            more="Archives of 32 MiB or more use up to 8 connections if the source limits the "
            "speed of each, and `max_parallel_downloads` allows more requests. Needs range "
            "requests and strong ETags, and up to 36 MiB of memory for each such archive.",
            metavar="HOW",
        ),
    )
