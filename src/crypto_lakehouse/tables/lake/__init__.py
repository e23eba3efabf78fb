"""Reads tables and maintains them.

- `lake` opens a lake, lists tables and snapshots, and starts scans and queries.
- `scan` selects data files by partition and by the bounds of their times, and passes them to
  Polars, Arrow or DuckDB; `time_range` is the range that a caller gives.
- `panel_making` puts columns of several tables on one grid of times: `panel_sources` says from when
  on each row is known, `alignment` takes the last one known at each time, `panel` is the result.
- `universe` finds the symbols of each day by their rows.
- `sql` is a DuckDB session with a view for each table. It can read only the files of the tables.
- `bars` makes bars of trades in SQL: by time, volume or ticks.
- `maintenance` merges small files, expires snapshots and deletes orphan files.

A scan or a session sees one snapshot of a table, even while a run writes. Two tables are read as of
the same time only if `as_of` is given. The order of rows is not guaranteed.
"""
