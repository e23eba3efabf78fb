"""The objects of the server, and its responses to requests for them.

1. `objects` is one object: content, ETag, dates, type.
2. `object_store` finds an object by its key: what was put there, then files of a `folder`, then
   archives made up from their keys. `lru` caches the made-up ones.
3. `responses` decides the response: status, headers, preconditions, ranges. Nothing is sent here.
4. `walk` walks keys in order for listings, without building the tree.

A made-up object that was evicted is made again, with the same bytes and dates.
"""
