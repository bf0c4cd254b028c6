"""Workers with which the benchmarks have to fail."""
