"""Files of the tables for other programs: the command `export`.

- `targets` names the kinds of files; `plain`, `freqtrade`, `nautilus` and `vectorbt`
  write them.
- `units` splits what is selected into units: one file each.
- `ordered` reads the rows of a unit in order, in batches; `files` writes a file as a whole.
- `record` keeps what was written, so that a second export writes only what has changed.
- `export` does it.

Promised: a file is complete or absent; one that an export has not written is never replaced; memory
does not grow with the number of rows. Not promised: that files which are written into the folder by
other programs meanwhile are seen.
"""
