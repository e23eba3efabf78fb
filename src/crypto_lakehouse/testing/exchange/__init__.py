"""A loopback exchange: the public market data of spot, USD-M and COIN-M.

1. `clock` is the exchange's own time, which a test advances; `rules` are each market's figures.
2. `tape` is what happened: trades, bars, funding, open interest and books, the same for the same
   seed, or trades that the caller gives.
3. `limits` counts weight by clock minute and IP, and refuses: 429, then 418.
4. `rest` has the endpoints: parameters, payloads, errors. `gate` lets a request through the limits
   to its endpoint, and applies scripted faults.
5. `streams` has the WebSocket side: streams, subscriptions, connections.
6. `archives` exports the same tape as archives, so that an `ArchiveServer` serves the same truth.
7. `exchange_server` is what tests use.

Every time is in microseconds since the epoch, UTC, unless its name says otherwise.
"""
