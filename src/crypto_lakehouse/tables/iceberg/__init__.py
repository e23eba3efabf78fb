"""The Iceberg tables themselves: the catalog, their files, and what is left over.

- `catalog` is an embedded one in SQLite, or one that pyiceberg's configuration names.
- `local_io` is file access for the embedded lake: inside its directory, synced before a commit.
- `data_files` says where data files lie, in which types, and reads them by row group.
- `live_files` finds the data files of a table as it is now, and those with rows of an archive.
- `filters` spells Iceberg's expressions so that a type checker understands them.
- `orphans` finds files that no snapshot knows.
- `inner_names` alone uses names of pyiceberg that its documentation does not promise.

What a commit of the embedded catalog names is on the disk before it. For a shared catalog that is
the storage's matter. Other programs may write to a shared catalog; `tables.ingest` deals with that.
"""
