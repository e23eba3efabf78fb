"""Is this a readable archive: one CSV member, whole, with the right check sum?

A right digest does not say so: the publisher has served broken zips with matching sidecars.

- `stream_check` reads a large zip's member while its bytes pass by, so it is not read back.
- `check` reads any zip and says what is wrong with it; `stream_check` leaves every doubt to it.
- `member` opens the one member, a step at a time, for the checks and for the tables.
- `inflate` is ISA-L where the processor has it, else zlib.

Memory is bounded by a step of a mebibyte, also for zips that would inflate to far more than they
announce. Whether the CSV inside makes sense is not looked at; `tables.reading` does that.
"""
