"""Decide whether fetched and stored bytes are the published ones.

1. `local_copy` checks the file at an archive's final name with as few requests as possible: by the
   ledger, the kept sidecar, the listed MD5, the published sidecar, in this order.
2. `inspect_download` fetches an archive with its sidecar and gathers evidence: digests, ETag,
   sidecar, whether the zip can be read.
3. `verdict_rules` decides. Evidence that is not clearly good is gathered a second time, as zip and
   sidecar are cached apart at the source and may disagree for a while.
4. `outcome` is the decision with the facts that the ledger keeps; `from_ledger` makes the verdicts
   that need no worker.

`verdict_rules` and `from_ledger` are pure. `verified` means: the bytes are the published ones and
a readable zip. It does not mean that the rows inside are correct.
"""
