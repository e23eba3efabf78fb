"""Which `max_parallel_downloads` pays, with this line, this source and this selection?

1. `bench` fetches archives of a plan with one setting after the other, each within limits of time
   and bytes, and throws the bytes away.
2. It stops early where the source refuses, fails, or where more brings nothing.
3. `bench_report` counts, and recommends the least setting that is nearly as fast as the best.

Nothing is written, checked or tried again. A result holds for the time of the measurement only:
sources and lines change within hours.
"""
