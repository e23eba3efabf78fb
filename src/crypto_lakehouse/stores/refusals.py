"""The operating system's refusals, as errors of ours."""

from __future__ import annotations

import errno

from crypto_lakehouse.core.errors import StoreError

__all__ = ["refusals"]

#: Errors that every other file would meet too.
_STOPS_RUN = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


class refusals:  # noqa: N801 - reads as a statement; a class, as it is on the hot path
    """Turn the operating system's refusals into ours; `stops_run` are those that all would meet."""

    __slots__ = ("path", "stops_run")

    def __init__(self, path: str, stops_run: frozenset[int] = _STOPS_RUN) -> None:
        self.path = path
        self.stops_run = stops_run

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            hint = "; free some space and run again" if error.errno == errno.ENOSPC else ""
            stops_run = error.errno in self.stops_run
            raise StoreError(self.path, reason + hint, stops_run=stops_run) from error
