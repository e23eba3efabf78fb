"""From zips to typed batches of rows, in bounded memory.

1. `reader` inflates text a mebibyte at a time and gathers it: a large archive comes in several
   batches, small ones of one form share one.
2. `sniff` looks at a file's beginning: has it a header, which columns, which time unit.
3. `parse` parses the text with Polars and proves by counting that every field was read.
4. Only where that fails, `fault_finder` reads the text line by line and names line and column.

`batch` is what comes out: a frame, and which rows are of which archive. `read_ahead` makes the
next batch in a thread while the caller works on this one.

An archive that is not as published is refused by name, whole; its neighbours are read. No value
is changed or guessed. Whether values make sense is for `tables.quality`.
"""
