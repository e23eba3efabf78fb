"""The command `crypto-lakehouse`: parse, call, render, exit code; no logic of its own.

A file for each command, imported when that command is called, so that `--help` is quick. `main` is
the entry point and the one place where an error becomes a sentence and an exit code. `options` and
`lake_options` are shared options; `render`, `query_output`, `verify_output` and `validate_output`
write text for people and JSON for programs.

Results go to standard output, everything else to standard error. `signals` stops a run in order on
Ctrl-C and SIGTERM, and `streams` handles output that cannot be written.
"""
