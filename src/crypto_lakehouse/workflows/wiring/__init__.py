"""Build the parts of a run from a configuration; each stack is made in one place.

- `load_config` reads a configuration from wherever the caller has it.
- `transport_stack`: client, hosts, caps, and how many requests may be under way.
- `collector_stack`: transport, limit, retry, verdicts, on a store.
- `collection_pipeline` runs that stack over a plan, or lets workers do so.
- `make_plan`: from the source's listing, or from the calendar if it has none.
- `plan_sizes`: how much a plan is, and about how long it takes.
- `open_files`: how many connections fit into the process's limit of open files.
- `worker_jobs`: how many worker processes there are, and the job of each; `worker_program` is what
  they run.

The same stacks work in the run's own process and in worker processes. Nothing here decides about
an archive.
"""
