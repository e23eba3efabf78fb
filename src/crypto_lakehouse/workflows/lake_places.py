"""Whether a lake can be where it is configured, which is checked before anything is collected."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from crypto_lakehouse.core.errors import ConfigurationError, LakeError, NoLakeError, Problem
from crypto_lakehouse.core.hard_links import link_fault
from crypto_lakehouse.core.os_error_hints import hint_for
from crypto_lakehouse.stores.outer_output import outer_fault
from crypto_lakehouse.stores.output import Output
from crypto_lakehouse.workflows.lake_config import LakeConfig
from crypto_lakehouse.workflows.wiring.lake_at import lake_at

__all__ = ["ELSEWHERE", "check_place", "check_writable_place"]

ELSEWHERE = "choose another directory for the tables with `--lake DIR`"


def check_place(config: LakeConfig, output: Output) -> None:
    """Check that a place can have a lake; blocking.

    Args:
        config: Which place, and whether the tables are in the embedded catalog.
        output: The output that it is in, if no other one is configured.

    Raises:
        ConfigurationError: The URL of the lake or a setting of its store is wrong; or the lake is
            inside `data` of an output, or inside `warehouse` of another lake.
        NoLakeError: Its path is not UTF-8, or a symbolic link leads out of the output directory.
    """
    from crypto_lakehouse.tables.iceberg.local_io import check_inside, check_text

    lake = lake_at(config)
    folder = lake.folder
    if config.lake is not None and (fault := outer_fault(lake.url or folder, lake.stored)):
        raise ConfigurationError([Problem("$.lake", fault)])
    if config.catalog is None:
        check_text(str(folder.resolve()))
    if config.lake is None and lake.url is None:
        try:
            check_inside(str(folder), output.place)
        except LakeError as error:
            raise NoLakeError(error.lake, error.reason) from None


def check_writable_place(config: LakeConfig) -> None:
    """Check that this user may write to the lake, as far as can be known without writing.

    Raises:
        ConfigurationError: The directory is a file or below one, is not this user's, or its lock
            has several names.
    """
    if config.lake_url is not None:
        return
    if config.lake is None and not os.path.lexists(config.lake_folder):
        return  # the collection makes the folder that it is in
    fault = _fault(config.lake_folder, lake_at(config).lock)
    if fault:
        setting = "$.output_directory" if config.lake is None else "$.lake"
        raise ConfigurationError([Problem(setting, fault)])


def _fault(folder: Path, lock: Path) -> str:
    there = next(each for each in (lock, folder, *folder.parents) if os.path.lexists(each))
    if there == lock and (fault := link_fault(str(lock))):
        return fault
    if there == lock and not lock.is_file():
        return f"`{lock}` is not a file; {ELSEWHERE}"
    if there != lock and not there.is_dir():
        return f"`{there}` is not a directory; {ELSEWHERE}"
    wanted = os.W_OK if there == lock else os.W_OK | os.X_OK
    if os.access(there, wanted, effective_ids=os.access in os.supports_effective_ids):
        return ""
    is_read_only = os.statvfs(there).f_flag & os.ST_RDONLY
    code = errno.EROFS if is_read_only else errno.EACCES
    error = OSError(code, os.strerror(code), str(there))
    return f"`{there}` cannot be written: {error.strerror}; {hint_for(error, ELSEWHERE)}"
