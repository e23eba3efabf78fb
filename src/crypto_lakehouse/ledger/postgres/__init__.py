"""The ledger in PostgreSQL, for what several machines share; needs the extra `postgres`.

- `server` connects, and makes errors with advice; `schema` has the tables and their upgrades,
  and `completeness` checks that they are there.
- `session` is the connection that holds the locks of a run and writes for it; `batch` writes.
- `ledger` is what a run reads and writes; `rows` reads for `history`, `runs` and `coverage_view`.
- `unsound` sets rows aside that no run writes.
- `place` says which ledger an output has.

One database has the ledgers of several outputs, each row with the number of its output.
"""
