"""The Iceberg tables: their catalog, their data files, and orphan files.

- `catalog` is embedded in SQLite, in PostgreSQL, or named in pyiceberg's configuration;
  `catalog_errors` turns its exceptions into errors with a remedy.
- `lake_place` says where a lake is.
- `embedded_catalog` keeps the properties of tables away from file access; `table_metadata` refuses
  metadata that leads out of a table's folder.
- `bounded_files` opens regular files only, and limits what is read as a whole.
- `stored_catalog` is the catalog of a lake at a URL; `table_records` says in the store which
  version of each table is the current one.
- `server_catalog` is the catalog of a lake in PostgreSQL, `catalog_names` says under which name
  the database has it, and `commit_lock` is a lock there.
- `object_io` is file access for a lake at a URL: the objects below it; `object_files` has them by
  their URLs, and as a file system of Arrow.
- `local_io` is file access for the embedded lake: inside its directory, synced before a commit.
- `data_files` gives the location and schema of data files, and reads them by row group.
- `live_files` finds the current data files of a table, and those with rows of an archive.
- `manifest_check` checks that the manifests of a snapshot are whole before they are read.
- `filters` makes Iceberg expressions with types that a type checker understands.
- `orphans` deletes files that no snapshot refers to.
- `inner_names` alone uses names of pyiceberg that its documentation does not promise, except for
  the methods that `embedded_catalog` and `stored_catalog` override.

A commit to the embedded catalog names only files that are synced to disk. A commit to a lake at a
URL names only objects that are stored, and counts once its record is written, under the condition
that no other writer was first. For a shared catalog,
durability is up to the storage. Other programs may write to a shared catalog; `tables.ingest`
handles that.
"""
