"""Record the exchange's streams.

`recorder` writes every message to segments as it came (`lane`), and follows the ids of each series
(`series`, `chain`): what is missing is fetched (`gap_filler`), or a hole. `line` keeps the streams
of a connection coming (`streams`, `sockets`). `book_keeper` keeps order books proven (`books`,
`depth`) by `snapshots`, and `replay` makes them from recorded messages.
"""
