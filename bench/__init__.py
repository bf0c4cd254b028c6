"""The benchmarks: one job, measured through the public doors. `make bench`, `make bench-parked`, `make bench-load`.

Apart from the tests because they measure: they fail when a result is wrong or missing, never because it was slow.
docs/performance.md says what each figure means.
"""
