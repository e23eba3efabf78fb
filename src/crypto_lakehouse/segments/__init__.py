"""Segments: the rows of a series and UTC day that did not come in an archive, as they came.

A segment is an object below `rest/`, named as the archive of its day is, with a sidecar of its own.

- `fill_segment` writes and reads segments: lines of JSON, compressed with zstd. The first one says
  what the segment holds, each other one is a response of a REST endpoint with its request, its time
  and the digest of its body.
- `fill_rows` makes the archive's CSV of them: the rows of the day, each key once.
- `bar_rows`, `trade_rows`, `funding_rows` and `metric_rows` know the responses of each endpoint;
  `answers` reads the values in them.

Values stay the texts that came. A response that does not fit its data type is refused by name.
"""
