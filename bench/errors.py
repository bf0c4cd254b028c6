"""What can be wrong in a benchmark; apart because every module of it raises it.

Errors:

    BenchError          the benchmark cannot go on; the text says why
    └── WrongResult     an execution is missing, or is not what it should be
"""


class BenchError(Exception):
    """The benchmark cannot go on."""


class WrongResult(BenchError):
    """An execution is missing, or is not what it should be."""
