"""Benchmarks of the tables: `python -m benchmarks.tables ingest|scans|small`."""
