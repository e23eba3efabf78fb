"""Ingests archives into their tables, each once, and records their provenance.

1. `ingest_plan` compares archives with the table `lakehouse.archives` (`provenance`): new,
   unchanged, or republished. `overlaps` finds archives with the same rows.
2. `ingestion` runs workers that read, check and write (`tables.files`). `merging` merges a month
   with its days: `row_spool` holds rows, `comparison` compares them, `differences` records in which
   values they differ, and `row_changes` counts what a new version changes.
3. `journal` records each file before it is created, and the provenance before the commit.
4. `publish` adds the files and removes the replaced rows in one commit (`commits`). If another
   machine committed first, the table is read again and the commit is planned again, without the
   archives that the other one has recorded (`recorded_meanwhile`).
5. `recovery` completes or undoes the work of a killed run.

`plain_parquet` is the other way to ingest: plain files without a catalog.

Promised: an archive's rows become visible all at once and never twice, even if a run is killed.
Not promised: that the files of a killed run are deleted before the next run.
"""
