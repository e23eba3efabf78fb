"""Archives made up from their keys, in the published format.

1. `catalog` says which keys there are: the matrix, a few symbols, a window of days.
2. `rows` makes the CSV lines of a data type, one UTC day at a time.
3. `generator` packs them as the publisher does, and writes the sidecar.
4. `zips` makes zips that are invalid archives.

The same key gives the same bytes, in every process and on every day, with the same zlib. A month's
rows are its days' rows. Prices are random walks from a seed and mean nothing.
"""
