"""Where the messages of a stream can be fetched, if they did not come: without a key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta

from attrs import frozen

from crypto_lakehouse.core.archive import DataType, Market, Series
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.live.streams import LiveStream, bar_step
from crypto_lakehouse.rest import API_OF, fill_endpoints
from crypto_lakehouse.rest.answers import Row, Shape, shape_of
from crypto_lakehouse.rest.endpoints import Endpoint

__all__ = ["GapSource", "gap_source"]

_TRADES = Shape(
    key="id", time="time", end="time", decimals=("price", "qty"), flags=("isBuyerMaker",)
)

_TRADES_WEIGHTS = {Market.SPOT: 25, Market.FUTURES_UM: 5, Market.FUTURES_CM: 5}

_MOST_TRADES = 1000


@frozen(kw_only=True)
class GapSource:
    """How missing messages are fetched.

    Attributes:
        endpoint: What is asked.
        read: Reads the rows of an answer, and refuses damaged ones.
        key: The field of a row that is its id.
        step: The difference of the ids of two rows that follow each other.
        first, last: The parameters with the first and the last id that are wanted; empty if there
            is none.
        unit: How many of the ids' units the parameters have in one; times are in milliseconds.
        lack: Why the exchange may not have all of them.
    """

    endpoint: Endpoint
    read: Callable[[bytes], list[Row]]
    key: str | int
    step: int = 1
    first: str = ""
    last: str = ""
    unit: int = 1
    lack: str = "the exchange's API does not have them"

    def params(self, first: int, last: int) -> Mapping[str, int]:
        """The parameters of a request for a range of ids."""
        values = {self.first: first // self.unit, self.last: last // self.unit}
        return {name: value for name, value in values.items() if name}

    def limit(self, first: int, last: int) -> int:
        """The size of the page that is asked for."""
        most = self.endpoint.most
        return min(most, (last - first) // self.step + 1) if self.first else most


def gap_source(stream: LiveStream) -> GapSource | None:
    """Return where the messages of a stream are; None if no endpoint has them without a key."""
    match stream.kind:
        case StreamKind.AGG_TRADE:
            series = Series(stream.market, DataType.AGG_TRADES, stream.symbol)
            endpoint, read = _endpoint(series)
            return GapSource(endpoint=endpoint, read=read, key="a", first="fromId")
        case StreamKind.KLINE if (step := bar_step(stream)) is not None:
            series = Series(stream.market, DataType.KLINES, stream.symbol, stream.interval)
            endpoint, read = _endpoint(series)
            per_ms = 1000 if stream.market is Market.SPOT else 1
            return GapSource(
                endpoint=endpoint,
                read=read,
                key=0,
                step=step // timedelta(milliseconds=1) * per_ms,
                first="startTime",
                last="endTime",
                unit=per_ms,
            )
        case StreamKind.TRADE:
            endpoint = Endpoint(
                path=f"{API_OF[stream.market].prefix}/trades",
                params={"symbol": stream.symbol},
                steps=((_MOST_TRADES, _TRADES_WEIGHTS[stream.market]),),
                most=_MOST_TRADES,
            )
            lack = f"the exchange gives the last {_MOST_TRADES:,} trades only, without a key"
            return GapSource(endpoint=endpoint, read=_TRADES.rows, key="id", lack=lack)
        case _:
            return None


def _endpoint(series: Series) -> tuple[Endpoint, Callable[[bytes], list[Row]]]:
    [endpoint] = fill_endpoints(series)
    return endpoint, shape_of(series.data_type, endpoint.path, series.symbol).rows
