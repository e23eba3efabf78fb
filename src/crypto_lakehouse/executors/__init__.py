"""Settle a plan elsewhere than in the run's own task group: in other processes, later on machines.

1. `shards` cuts the work into shards of 1 to 64 archives, and hands each to a `ShardExecutor`.
2. An executor settles its shard and emits one verdict for each archive of it.
3. What an executor did not settle, because it ended, is given out again, one archive at a time and
   three times at most.

`processes` is the executor of this machine. Plan, inventory, ledger, events and progress stay in
the run's own process.

An archive may be fetched twice, where an executor ended between the work and its word on it; it
has one verdict all the same. Executors know nothing of configurations: what a worker needs is made
for it in `workflows.wiring`.
"""
