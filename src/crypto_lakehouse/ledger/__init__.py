"""The ledger: what runs have found out about each archive, in SQLite below the output directory.

- `place` has the protocols of a ledger: for a run, and for those that only read rows.
- `sqlite` reads it, a folder at a time, and writes it in batches; `sqlite_file` reads rows for
  `history`, `runs` and `coverage_view`; `schema` has the tables and the upgrades from older
  versions, and opens the file.
- `history` returns the versions that an archive has had.
- `coverage_view` reads the ledger series by series for `status`, even while a run writes.
- `lock` keeps a second run out of an output directory, and waits for workers of a killed run.

There is one writer, the sink, and any number of readers; each reader sees the ledger as it was at
one moment. A lost or damaged ledger is rebuilt from the files and their sidecars without a request,
except for the history of replaced versions. A file is synced before the ledger lists it.
"""
