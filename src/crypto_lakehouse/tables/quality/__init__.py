"""Are the rows of an archive plausible, complete, and there once?

1. `checks` declares the checks of each data type as Polars expressions that are true on bad rows.
2. `inspector` runs all of them in one pass over a batch of many archives, and looks closer only
   where one is true. The last row is carried over, so that a check sees across batches.
3. `archive_checks` judges an archive as a whole: does it cover its period, how are rows labelled.
4. `known_row_holes` tells holes that are known upstream from new ones.

`findings` is the result: severity, rows, and a verdict for each archive.

A check reports and changes nothing. Whether bad rows are dropped, kept or refuse their archive is
a policy of the caller. A check sees one archive at a time, and no other market.
"""
