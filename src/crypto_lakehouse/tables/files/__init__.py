"""Rows to Parquet data files, as Iceberg registers them.

1. `series_writer` is one worker's share: whole series, in order, from zips to finished files.
2. `table_rows` turns frames into Arrow tables and splits them by partition.
3. `partition_writer` writes one partition's rows by row group, and describes the finished file.
4. `parquet_options` chooses compression and encoding for each column, as measured.

pyiceberg's own writer is not used, as it holds a whole file's rows in memory. Here memory is
bounded by a row group for each open partition.

A file is invisible until a commit names it. The journal of `tables.ingest` knows its name before
it is created, so that the next run can clear away what a killed run left.
"""
