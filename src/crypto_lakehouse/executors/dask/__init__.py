"""Workers of a Dask cluster, as an executor of shards (extra `dask`).

1. `cluster` connects to a scheduler, or starts a cluster on this machine; `scheduler` bounds how
   long that may take to answer.
2. `members` watches which workers the scheduler has. Each newcomer must prove that it has this
   version and reaches the output; then the limits of the run are divided again.
3. `executor` gives each shard to the member with the fewest, as one task of the scheduler.
4. `agent` is the other side: it settles the shards of its run in a thread of the worker's process,
   with one HTTP client for all of them. `places` joins a worker to runs, and gives their shards to
   their agents; `memory` keeps what the allocator frees meanwhile.
5. `protocol` defines their messages. Events come back while a shard runs, as bytes under a topic of
   the scheduler; the scheduler itself imports nothing of this package.

A worker that ends or is cut off loses its shards, which are assigned again. No credential is in a
job. Agents end if the scheduler no longer has the run as its client.
"""
