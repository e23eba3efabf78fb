"""Every error survives pickle and copy: a process pool hangs for ever on one that does not."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest

from crypto_lakehouse.core import errors
from crypto_lakehouse.core.errors import LakehouseError, Problem
from crypto_lakehouse.core.report import CollectionFailed, CollectionReport

REPORT = CollectionReport(
    workflow="w", status="failed", totals={"planned": 1}, success_rate=0.0, bytes=0,
    duration_seconds=0.0, problems=(), warnings=(), error="", run_id="r", stop_code=None,
    unlisted=(),
)  # fmt: skip

EXAMPLES: list[LakehouseError] = [
    LakehouseError("root"),
    errors.ConfigurationError([Problem("$.a", "b"), Problem("$.c", "d")]),
    errors.SelectionError([Problem("$.a", "b")]),
    errors.MatrixError("file", [Problem("$.a", "b")]),
    errors.ArchiveKeyError("key", "reason"),
    errors.RunningLoopError("workflow"),
    errors.LockHeldError("path"),
    errors.LedgerError("path", "reason"),
    errors.StoreError("path", "reason", stops_run=True),
    errors.SinkError("name", "reason"),
    errors.WorkerError("reason"),
    errors.ClusterError("reason"),
    errors.ProcessEndedError("reason"),
    errors.TransferError("http://h/", "reason"),
    errors.ConnectionFailed("http://h/", "reason"),
    errors.TlsRefused("http://h/", "reason"),
    errors.TimedOut("http://h/", "reason"),
    errors.TruncatedBody("http://h/", expected=2, received=1),
    errors.BodyTooLarge("http://h/", 1, "reason"),
    errors.ServerError("http://h/", 503, 1.5),
    errors.ProxyRefused("http://h/", 407),
    errors.RedirectRefused("http://h/", "reason"),
    errors.ObjectChanged("http://h/", "reason"),
    errors.ListingMalformed("http://h/", "reason"),
    errors.BadAnswerError("http://h/", "fault", b"body"),
    errors.ExchangeRefused("http://h/", 400, -1130, "message"),
    errors.FillUnavailable("http://h/", "reason"),
    errors.UnknownSymbolError("http://h/", "BTCUSDT"),
    errors.HostRefusedError("h:80", 418, 120.0),
    errors.PlaceRefusedError("h:80"),
    errors.SidecarMalformed("key", "reason"),
    errors.SegmentError("key", "reason"),
    errors.ArchiveRefused("key", "reason", 7, "column"),
    errors.LakeError("lake", "reason"),
    errors.NoLakeError("lake", "reason"),
    errors.NotRestoredError("lake", "key", "reason"),
    errors.OvertakenError("lake", "reason"),
    errors.QueryError("query", "reason"),
    errors.ExtraMissing("extra", "reason"),
    errors.ListingError("prefix", "reason"),
    errors.NoListing("prefix", "reason"),
    CollectionFailed(REPORT),
    errors.LostLockError("path", "reason"),
]


def kinds(of: type[LakehouseError]) -> Iterator[type[LakehouseError]]:
    """A kind of error, and all below it in the tree of errors."""
    yield of
    for kind in of.__subclasses__():
        if kind.__module__.startswith("crypto_lakehouse.core."):
            yield from kinds(kind)


def is_abstract(kind: type[LakehouseError]) -> bool:
    """Whether it is there for others to inherit from."""
    return kind.__name__.startswith("_")


def test_every_kind_has_an_example() -> None:
    assert {type(each) for each in EXAMPLES} == {
        kind for kind in kinds(LakehouseError) if not is_abstract(kind)
    }


def by_pickle(error: LakehouseError) -> LakehouseError:
    """Sent to another process and back."""
    restored: LakehouseError = pickle.loads(pickle.dumps(error))  # noqa: S301 - made here
    return restored


@pytest.mark.parametrize("travel", [by_pickle, copy.copy, copy.deepcopy])
def test_every_error_is_the_same_afterwards(
    travel: Callable[[LakehouseError], LakehouseError],
) -> None:
    for error in EXAMPLES:
        found = travel(error)
        assert type(found) is type(error)
        assert (str(found), found.args, vars(found)) == (str(error), error.args, vars(error))
        assert found.exit_code == error.exit_code


def fail(number: int) -> None:
    """Raise one of the examples, in another process."""
    raise EXAMPLES[number]


def test_a_process_pool_brings_errors_home() -> None:
    method = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=method) as pool:
        for number in (1, 14, 15, 28):
            with pytest.raises(type(EXAMPLES[number])) as caught:
                pool.submit(fail, number).result()
            assert str(caught.value) == str(EXAMPLES[number])
