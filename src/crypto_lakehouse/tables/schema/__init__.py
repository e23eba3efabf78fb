"""The columns of each table, and their types in each engine.

- `schemas` reads `matrix/schemas.json`: for each market and data type the published columns, their
  types, partition fields and sort order; also those of recorded messages that no archive has. A
  faulty file is refused with every fault.
- `table_types` converts a schema to Iceberg and Arrow types, partitioning and sort order.
- `schema_docs` writes `docs/schemas.md` from the same data; a test compares the two.

Every table has, besides its published columns, `symbol`, `interval` where its type has one, and
`archive`, the object key of the archive that a row came from.

A change of `matrix/schemas.json` does not change existing tables.
"""
