"""Checks that an archive is readable: one complete CSV member with the correct CRC.

A correct digest does not guarantee this: the publisher has served broken zips with matching
sidecars.

- `stream_check` checks a large zip while it is received, so that nothing is read back.
- `check` checks a zip in memory or in a store.
- `member` reads the single member in steps, for the checks and for the tables.
- `inflate` is ISA-L if it supports the processor, else zlib.

Memory is limited to steps of one mebibyte, even for zips that inflate to far more than they
announce. The content of the CSV is not checked; `tables.reading` does that.
"""
