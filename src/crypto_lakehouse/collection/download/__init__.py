"""Fetch one archive's bytes: small bodies into memory, large ones into a resumable part.

1. `fetcher` acquires the concurrency limit and requests the zip, then the `sidecar`.
2. A body of up to 1 MiB is read into memory (`bodies.MemoryBody`).
3. A larger one goes to `NAME.part` buffer by buffer (`stream_to_part`): one thread hop hashes and
   writes a buffer while the next one arrives.
4. A very large one may come over several connections (`parallel_ranges`), if the source caps
   each of them: `range_scaling` measures whether that pays, `parallel_body` puts the ranges in
   order, `byte_ranges` fetches one of them.
5. A body that breaks off is continued from its part with If-Range, by this run or a later one
   (`resume`).

The part is always a growing prefix of the body. If the object changes, the fetch starts over.
Whether bytes are good is decided in `collection.verdicts`.
"""
