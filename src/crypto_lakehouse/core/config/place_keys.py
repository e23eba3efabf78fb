"""The keys of `WorkflowConfig` that say where archives and ledger are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from crypto_lakehouse.core.config.keys import About, key
from crypto_lakehouse.core.config.values import (
    Choice,
    Credentials,
    Storage,
)

__all__ = ["PlaceKeys"]


@frozen(init=False, kw_only=True)
class PlaceKeys:
    """The workflow, the matrix, and where what a run writes is."""

    workflow_type: str = key(
        Choice("archive_collection"),
        "archive_collection",
        about=About("The workflow to run.", metavar="NAME"),
    )
    matrix_path: str | None = key(
        str,
        None,
        about=About(
            "The matrix: a file that describes what the publisher offers.",
            more="Both older formats can be read, too.",
            form="path",
            unset="the built-in one",
            options=("--matrix",),
            metavar="FILE",
        ),
    )
    output_directory: str = key(
        str,
        about=About(
            "The directory for archives, each under its object key.",
            more="A relative path is relative to the working directory. Or a prefix in an object "
            "store: s3://bucket/prefix, gs://bucket/prefix, az://container/prefix; see "
            "[object stores](object-stores.md).",
            form="path or URL",
            options=("--output", "-o"),
            metavar="DIR|URL",
        ),
    )
    storage: Mapping[str, Any] | None = key(
        Storage,
        None,
        about=About(
            "Settings of the object store that the output is in; none of them is a secret.",
            more="`endpoint` and `region` for stores with the interface of S3, `account` for "
            "Azure. With `virtual_hosted_style: true` the bucket is part of the host name.",
            unset="those of the environment and the platform",
            metavar="JSON",
            since="0.2.0",
        ),
    )
    credentials: Mapping[str, str] | None = key(
        Credentials,
        None,
        about=About(
            "The environment variables that have the credentials of the object store and of URLs.",
            more="For [tenants](tenants.md#credentials), which share a process.",
            unset="those that are usual, and the platform's",
            metavar="JSON",
            since="0.2.0",
        ),
    )
    state_directory: str | None = key(
        str,
        None,
        about=About(
            "The local directory for ledger and locks, if the output is in an object store.",
            form="path",
            unset="`$XDG_STATE_HOME/crypto-lakehouse/<hash of URL, endpoint and account>`",
            metavar="DIR",
            since="0.2.0",
        ),
    )
    ledger: str | None = key(
        str,
        None,
        about=About(
            "A PostgreSQL database for the ledger, as postgresql://host/database.",
            more="For what several machines share; see [shared ledger](shared-ledger.md). The "
            "password comes from PGPASSWORD, `~/.pgpass` or a service file.",
            form="URL",
            unset="a SQLite file beside the locks",
            metavar="URL",
            since="0.2.0",
        ),
    )
    ledger_schema: str = key(
        str,
        "crypto_lakehouse",
        about=About(
            "The schema of that database that has the ledger's tables.",
            form="name",
            metavar="NAME",
            since="0.2.0",
        ),
    )
