"""Tools of an output for programs that speak the Model Context Protocol; the extra `mcp`.

`server` lists the tools and calls them, over standard input and output (`standard_streams`).
`coverage_tools` has `status` and `holes`, `plan_tool` has `plan`, and `table_tools` has `query` and
`validate`; each is a function of the place that is served (`served`) and of its arguments
(`arguments`). `answers` bounds what they return. A query runs in a process of its own
(`bounded_query` and `query_program`), because DuckDB can take any time and memory in one step.

Promised: a tool writes nothing to the output or the lake, sends no request but those of the command
of its name, and answers within the bounds of the server. Not promised: an order of answers to calls
that are made at once.
"""
