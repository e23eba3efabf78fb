"""Stores in S3, Google Cloud Storage, Azure Blob Storage and memory: the extra `stores`.

- `store` is the store: `<prefix>/<object key>`, complete and verified objects only.
- `part` is a large body: uploaded in parts to its final key, and an object only once its verdict
  completes the upload.
- `lease` lets one run at a time work on a prefix; `fence` keeps a run that has lost its lease from
  replacing what the next holder has stored.
- `folder_scans` answers what is in a folder from listings that walk beside the plan.
- `reading` opens an object as a file; `files` reads objects in threads, with their versions.
- `memory` lets the memory of parts return to the system.
- `client` and `listings` alone call obstore; `errors` turns its errors into `StoreError`, without
  secrets.
- `listings` believes only answers that are certainly listings.
- `opening` opens the store that a URL names.

Promised: no byte is an object at its final key before it is verified. Not promised: that a large
body under way can be resumed by a later run, or that a killed process leaves no upload behind;
object stores remove these by a rule (docs/object-stores.md).
"""
