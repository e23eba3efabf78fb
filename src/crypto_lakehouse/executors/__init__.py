"""Run a plan outside the run's own task group: in other processes, later on other machines.

1. `shards` divides the work into shards of archives and passes each to a `ShardExecutor`.
2. An executor settles its shard and emits one verdict for each archive in it.
3. If an executor ends before its shard does, the remaining archives are assigned again: first
   together, then one at a time. An archive is assigned three times at most.

`processes` is the executor of this machine. Plan, inventory, ledger, events and progress stay in
the run's own process.

An archive may be fetched twice, if an executor ends after the work and before it reports the
verdict; the archive has one verdict all the same. Executors know nothing about configurations:
`workflows.wiring` makes what a worker needs.
"""
