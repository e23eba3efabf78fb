"""Turn errors of the operating system into `StoreError`, with advice."""

from __future__ import annotations

import errno

from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.os_error_hints import NOT_ALLOWED, exit_code_of, hint_for
from crypto_lakehouse.core.protocols import PART_SUFFIX
from crypto_lakehouse.stores.open_files import open_files_hint

__all__ = ["REFUSALS", "STOPS_RUN", "as_store_errors", "what_to_do"]

#: Errors that would occur for every other file, too.
STOPS_RUN = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})

#: Errors that are never a fault in this program, wherever they are raised.
REFUSALS = STOPS_RUN | NOT_ALLOWED | {errno.EFBIG}


def what_to_do(
    error: OSError,
    path: str,
    instead: str = "choose another output directory",
    *,
    reads: bool = False,
) -> str:
    """Say what failed, for which file if it is not `path`, and what to do about it.

    Args:
        error: The error.
        path: A file that the caller names.
        instead: As `hint_for` takes it.
        reads: As `hint_for` takes it.
    """
    reason = error.strerror or str(error)
    name = error.filename
    if name and name not in {path, path + PART_SUFFIX}:
        reason += f": `{name}`"
    is_limit = error.errno == errno.EMFILE
    hint = open_files_hint() if is_limit else hint_for(error, instead, reads=reads)
    return f"{reason}; {hint}" if hint else reason


class as_store_errors:  # noqa: N801 - reads as a statement; a class, as it is on the hot path
    """Raise StoreError for OSError; the codes in `stops_run` end the whole run.

    A name that the locale cannot encode is a StoreError, too. The advice for a place that is only
    read (`reads`) does not ask for the right to write.
    """

    __slots__ = ("path", "reads", "stops_run")

    def __init__(
        self, path: str, stops_run: frozenset[int] = STOPS_RUN, *, reads: bool = False
    ) -> None:
        self.path = path
        self.stops_run = stops_run
        self.reads = reads

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError):
            stops_run = error.errno in self.stops_run
            reason = what_to_do(error, self.path, reads=self.reads)
            code = exit_code_of(error)
            raise StoreError(self.path, reason, stops_run=stops_run, exit_code=code) from error
        if isinstance(error, UnicodeEncodeError):
            reason = (
                f"the name cannot be encoded as {error.encoding}, the encoding of file names in "
                "this process; set the variable PYTHONUTF8=1 before Python starts"
            )
            raise StoreError(self.path, reason) from error
