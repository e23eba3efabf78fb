"""The ledger: what runs found out about each archive, in SQLite below the output directory.

- `sqlite` reads it, a folder at a time, and writes it in batches; `schema` holds the tables, the
  upgrades from older versions, and how the file is opened.
- `history` tells which versions an archive has had.
- `coverage_view` reads it series by series for `status`, also while a run writes.
- `lock` keeps a second run out of an output directory, and waits for workers of a killed run.

One writer, the sink; many readers, each sees the ledger as it was at one moment. A ledger that is
lost or damaged is rebuilt from the files and their sidecars without a request; only the history of
replaced versions is in it alone. What it says of a file was on the disk before it was said.
"""
