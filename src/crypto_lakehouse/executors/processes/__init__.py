"""Worker processes on this machine, each with a pipe in and a pipe out.

1. `executor` starts the workers when there is something to do, assigns each shard to the worker
   with the fewest, and passes the events of the workers on.
2. `worker` is the other side: it reads shards from standard input, settles them, and writes events
   to standard output every 20 ms.
3. `protocol` defines their messages: pickles between a process and its own child.
4. `one_answer` starts a process for one question; `private_pipes` are the pipes of any such child.

A worker that ends, or is silent for a minute, is replaced, and its shards are assigned again.
Five workers in a row that settle nothing end the run. No process outlives the run, however it
ends. A worker has neither the ledger nor the lock of the run; it holds a lock of its own, so that
the next run waits for it.
"""
