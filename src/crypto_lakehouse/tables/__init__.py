"""From verified archives to typed, validated, versioned tables: the extra `tables`.

Nothing below this package imports it, and only it imports Polars, Arrow, Iceberg and DuckDB.
"""
