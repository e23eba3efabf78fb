"""The REST endpoints: from the parameters of a request to its JSON.

1. `errors` is what the exchange answers to a bad request; `query` reads parameters.
2. `bars`, `trades`, `books` and `statistics` answer the endpoints of these names.
3. `endpoints` is the table of all paths, by market.
"""
