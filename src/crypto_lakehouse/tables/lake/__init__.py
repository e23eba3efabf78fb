"""How tables are read, and kept in shape.

- `lake` opens a lake, lists tables and snapshots, and starts scans and queries.
- `scan` chooses data files by partition and by the bounds of their times, and hands them to
  Polars, Arrow or DuckDB.
- `sql` is a DuckDB session with a view for each table. It may read those files and nothing else.
- `bars` makes bars of trades in SQL: by time, volume or ticks.
- `maintenance` joins small files, expires snapshots and sweeps orphans.

A scan or a session sees one snapshot of a table, also while a run writes. Two tables are not read
at one common moment unless `as_of` is given. Rows come in no promised order.
"""
