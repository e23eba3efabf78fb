"""Checks whether the rows of an archive are plausible, complete, and free of duplicates.

1. `checks` and `bar_checks` declare the checks of each data type, as Polars expressions that are
   true on bad rows; `row_check` is one such check.
2. `inspector` runs all of them in one pass over a batch of many archives, and looks for
   details only if one is true. The last row is carried over, so that a check spans batches.
3. `archive_checks` checks an archive as a whole: whether it covers its period, and how its rows are
   labelled; `tallies`, whether it is cut off; `frozen`, whether a column is frozen.
4. `known_row_holes` distinguishes holes that are known upstream from new ones.

`findings` is the result: severity, rows, and a verdict for each archive.

A check only reports. A policy of the caller decides whether bad rows are dropped or kept, or their
archive is quarantined. A check sees one archive at a time; only `seams` compares ids
from archive to archive.
"""
