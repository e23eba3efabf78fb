"""Bring archives into their tables, each once, and say which.

1. `ingest_plan` compares archives with the table `lakehouse.archives` (`provenance`): new, the
   same, published anew, covered by a month. `overlaps` says which archives have rows in common.
2. `ingestion` lets workers read, check and write (`tables.files`).
3. `journal` names each file before it is created, and the provenance before the commit.
4. `publish` adds the files and removes those with replaced rows in one commit (`commits`). Where
   another machine was faster, the table is looked at again, and the rest is planned anew.
5. `recovery` completes or clears away what a killed run left.

`plain_parquet` is the second way to ingest: plain files without a catalog.

Promised: no row is visible in part or twice, whatever is killed when. Not promised: that files of
a killed run are gone before the next run.
"""
