"""Reads zips as typed batches of rows, in bounded memory.

1. `reader` inflates text a mebibyte at a time and collects it: a large archive is split into
   several batches, and small archives of the same form share one.
2. `sniff` detects the header, the columns and the time unit from the beginning of a file.
3. `parse` parses the text with Polars, and verifies by counting that every field was read.
4. Only if that fails, `fault_finder` calls the same parser on ever smaller parts of the text, and
   names the line and column.

`batch` is the result: a frame, and which rows belong to which archive. `read_ahead` reads the next
batch in a thread while the caller works on the current one.

An archive with a fault is refused as a whole and named; the others are read. No value is changed or
guessed. `tables.quality` checks whether values are plausible.
"""
