"""Run pipelines by their schedules, until the process is stopped.

- `times` says when a pipeline is due, and whether a schedule ever is;
- `daemon` waits, runs what is due, and takes another configuration while it works;
- `notify` tells systemd how the process is.
"""
