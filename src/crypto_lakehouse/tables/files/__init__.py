"""Writes rows to Parquet data files for Iceberg tables.

1. `series_writer` does the work of one worker: whole series, in order, from zips to finished files.
2. `table_rows` turns frames into Arrow tables and splits them by partition.
3. `partition_writer` writes one partition's rows by row group, and describes the finished file.
4. `parquet_options` chooses the compression and encoding of each column, by measurement.

pyiceberg's own writer is not used, because it holds all rows of a file in memory. Here memory is
bounded by one row group for each open partition.

A file is invisible until a commit names it. The journal of `tables.ingest` records its name before
it is created, so that the next run can delete the files of a killed run.
"""
