"""From a plan to verified bytes: one archive goes through these steps.

1. `inventory` compares the plan with the disk and the ledger, a folder at a time. What is settled
   becomes an event at once; the rest becomes `Work`.
2. `pipeline` puts work into a bounded queue, from which a pool of workers takes it; `sharing`
   leaves out what other runs work on at the same time.
3. `collector` brings one archive to its verdict: `verdicts.local_copy` checks the file that is
   there, `download` fetches, `verdicts.verdict_rules` decides, and the store commits.
4. `event_queue` hands what happened to the sinks, in batches: one task, one bounded queue.

`verifier` and `sampling` are for `verify`: they hash what is stored and change nothing.

Promised: no byte is at its final name before its proof; every archive of the plan has one verdict.
Not promised: any order between archives. Memory depends on the number of workers, not on the plan.
"""
