"""The WebSocket side: streams, subscriptions, connections.

1. `kinds` are the streams: what each sends, and when.
2. `names` finds the stream of a name; `requests` answers SUBSCRIBE and its siblings.
3. `line` sends messages, with the faults of a script.
4. `connection` keeps one connection: events when they are due, pings, limits, its end.
5. `door` lets connections in: paths, limits on connects, scripts.
"""
