"""Tables of recorded messages.

- `excerpts` splits a segment: one pass makes the rows of each series and UTC day, sorted, each key
  once, as a file of compressed CSV, and counts what is bad.
- `segment_rows` reads the lines of a segment, `line_patterns` many at a time.
- `live_columns` are the columns of such a file.
- `copies` removes the copies of events from sorted rows.
- `spool` keeps rows apart by series and day while a segment is read, in bounded memory.
"""
