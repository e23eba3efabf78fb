"""The Iceberg tables: their catalog, their data files, and orphan files.

- `catalog` is embedded in SQLite, or named in pyiceberg's configuration.
- `local_io` is file access for the embedded lake: inside its directory, synced before a commit.
- `data_files` gives the location and schema of data files, and reads them by row group.
- `live_files` finds the current data files of a table, and those with rows of an archive.
- `filters` makes Iceberg expressions with types that a type checker understands.
- `orphans` deletes files that no snapshot refers to.
- `inner_names` alone uses names of pyiceberg that its documentation does not promise.

A commit to the embedded catalog names only files that are synced to disk. For a shared catalog,
durability is up to the storage. Other programs may write to a shared catalog; `tables.ingest`
handles that.
"""
