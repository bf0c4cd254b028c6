"""What is counted where it happens: plain integers of the event loop's thread, as cheap as counting gets.

Prometheus's own counters take a lock and a dictionary for each step; here every execution passes a dozen times.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial

from agentspan.eventlog.intake import DeadLetters
from agentspan_orchestrator.ports import OnRelease
from agentspan_schemas.cloudevents import Headers
from agentspan_schemas.dead_letters import why
from agentspan_standalone.metrics.catalogue import SECONDS
from agentspan_standalone.metrics.exposition import Labels, Sample, Times

Clock = Callable[[], float]
"""Seconds, of which only differences count."""


class Measured:
    """The counts of one process. It is the orchestrator's observer, and has those of the doors and the dead letters."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._takeovers: Counter[int] = Counter()
        self._fencings: Counter[int] = Counter()
        self._write_failures: Counter[int] = Counter()
        self._restore_began: dict[int, float] = {}
        self._restore_took: dict[int, float] = {}
        self._decided: Counter[Labels] = Counter()
        self._appends = Times()
        self._dead_letters: Counter[Labels] = Counter()
        self._requests: defaultdict[Labels, Times] = defaultdict(Times)
        self.in_progress = 0

    # The orchestrator

    def taken_over(self, partition: int) -> None:
        """As `Observer` says."""
        self._takeovers[partition] += 1
        self._restore_began[partition] = self._clock()

    def restored(self, partition: int) -> None:
        """As `Observer` says."""
        self._restore_took[partition] = self._clock() - self._restore_began.pop(partition)

    def deposed(self, partition: int, *, fenced: bool) -> None:
        """As `Observer` says."""
        (self._fencings if fenced else self._write_failures)[partition] += 1

    def appending(self, command: str, answer: str) -> OnRelease:
        """As `Observer` says."""
        return partial(self._released, (command, answer), self._clock())

    def _released(self, decided: Labels, since: float) -> None:
        self._decided[decided] += 1
        took = self._clock() - since
        self._appends.counts[bisect_left(SECONDS, took)] += 1
        self._appends.total += took

    # The doors

    def answered(self, method: str, route: str, status: int, took: float) -> None:
        """As `agentspan_doors.measured` says."""
        times = self._requests[method, route, str(status)]
        times.counts[bisect_left(SECONDS, took)] += 1
        times.total += took

    # Dead letters

    def counting(self, topic: str, dead_letters: DeadLetters) -> DeadLetters:
        """The same, counted."""
        return _Counted(topic, dead_letters, self._dead_letters)

    def samples(self) -> Iterator[Sample]:
        """All counts as they stand."""
        by_partition: Mapping[str, Mapping[int, float]] = {
            "agentspan_partition_takeovers_total": self._takeovers,
            "agentspan_partition_fencings_total": self._fencings,
            "agentspan_partition_write_failures_total": self._write_failures,
            "agentspan_partition_restore_seconds": self._restore_took,
        }
        for name, values in by_partition.items():
            yield from (Sample(name, value, (str(partition),)) for partition, value in values.items())
        for decided, count in self._decided.items():
            yield Sample("agentspan_commands_decided_total", count, decided)
        yield Sample("agentspan_append_duration_seconds", self._appends)
        for letter, count in self._dead_letters.items():
            yield Sample("agentspan_dead_letters_total", count, letter)
        for request, times in self._requests.items():
            yield Sample("agentspan_http_request_duration_seconds", times, request)
        yield Sample("agentspan_http_requests_in_progress", self.in_progress)


class _Counted:
    """Dead letters, counted once they stand on their topic."""

    def __init__(self, topic: str, letters: DeadLetters, counts: Counter[Labels]) -> None:
        self._topic = topic
        self._letters = letters
        self._counts = counts

    def put(self, key: bytes | None, value: bytes, headers: Headers) -> Awaitable[object]:
        return self._counted(self._letters.put(key, value, headers), why(headers).error)

    async def _counted(self, put: Awaitable[object], reason: str) -> object:
        done = await put
        self._counts[self._topic, reason] += 1
        return done
