"""What happened on the exchange: the same for the same seed, or from trades that the caller gives.

1. `instruments` are the symbols and their units; `intervals` are the bounds of bars.
2. `trades` has trades and aggTrades, made up or given; `bars` aggregates them, and makes bars of
   the mark price, the index and the premium out of `prices`.
3. `derivatives` has funding, open interest and ratios; `book` has the order book.
4. `tape` holds them all, by symbol.

Nothing depends on the time at which it is read, and any moment is found without going through those
before it. Prices and quantities are whole numbers of the units of `instruments`.
"""
