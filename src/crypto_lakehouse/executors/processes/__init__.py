"""Worker processes on this machine, each with a pipe in and a pipe out.

1. `executor` starts the workers when there is something to do, gives each shard to the worker that
   holds the fewest, and hands their events on.
2. `worker` is the other side: it settles the shards that come on standard input and writes what
   happens to standard output, every 20 ms.
3. `protocol` is what they say to each other: pickles between a process and its own child.

A worker that ends, or is silent for a minute, is replaced, and its shards are given out again.
Five workers in a row that settle nothing end the run. At the end no process is left, whatever
happens. A worker has no ledger and no lock of the run; it holds a lock of its own, so that the
next run waits for it.
"""
