"""Segments: what did not come in an archive, as it came.

A segment is an object with a sidecar of its own. Below `rest/` it has the rows of a series and UTC
day, and is named as the archive of its day is; below `live/` it has the messages of a market and a
kind of stream, of at most an hour.

- `fill_segment` writes and reads segments: lines of JSON, compressed with zstd. The first one says
  what the segment holds, each other one is a response of a REST endpoint with its request, its time
  and the digest of its body.
- `fill_rows` makes the archive's CSV of them: the rows of the day, each key once.
- `bar_rows`, `trade_rows`, `funding_rows` and `metric_rows` know the responses of each endpoint;
  `answers` reads the values in them.
- `live_segment` reads segments of recordings, `live_writer` writes them, `live_recovery` ends those
  that a killed recording left, and `live_delivery` moves them to an output in an object store.
  `live_open` reads what there is while they are written and moved.
- `json_lines` reads the lines of both.

Values stay the texts that came. A response that does not fit its data type is refused by name.
"""
