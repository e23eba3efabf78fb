"""The archive server: listens, decides, sends, records.

1. `serving` listens on a port of loopback, in the running event loop or in a thread of its own.
2. `handler` is the one coroutine for every request: it looks the object up, applies the next fault
   of its script, and gets a response.
3. `listing` answers S3's ListObjects, version 1.
4. `response_writer` sends a response, up to its cut if it has one.
5. `request_log` records requests and their statuses; `archive_server` is what tests use.

At the end no task, thread or socket is left. Requests are answered concurrently, and recorded in
the order in which they came.
"""
