"""Is this a readable archive: one CSV member, whole, with the right check sum?

A right digest does not say so: the publisher has served broken zips with matching sidecars.

- `stream_check` checks a large zip while its bytes pass by, so nothing is read back.
- `check` checks a zip that lies in memory or in a store.
- `member` opens the one member, a step at a time, for the checks and for the tables.
- `inflate` is ISA-L where the processor has it, else zlib.

Memory is bounded by a step of a mebibyte, also for zips that would inflate to far more than they
announce. Whether the CSV inside makes sense is not looked at; `tables.reading` does that.
"""
