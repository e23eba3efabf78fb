"""Measure the best `max_parallel_downloads`, for this line, source and selection.

`bench` fetches archives of a plan with one setting after the other, and throws the bytes away:
nothing is written, verified or retried. `bench_report` recommends the smallest setting that is
nearly as fast as the best. A result holds for its time only: sources and lines change within hours.
"""
