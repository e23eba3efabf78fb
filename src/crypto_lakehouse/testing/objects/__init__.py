"""What the server holds, and what it answers to a request for an object.

1. `objects` is one object: content, ETag, dates, type.
2. `object_store` finds an object by its key: what was put there, then files of a `folder`, then
   archives made up from their keys. `lru` keeps the made ones for a while.
3. `responses` decides the response: status, headers, preconditions, ranges. Nothing is sent here.
4. `walk` walks keys in order for listings, without building the tree.

Made-up objects may be made again after they were forgotten, with the same bytes and dates.
"""
