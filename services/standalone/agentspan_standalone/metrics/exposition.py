"""Samples as Prometheus reads them. A registry for each scrape's samples: nothing global, nothing left behind.

Apart from the observers because counting is on the way of every execution, and this is not.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from agentspan_standalone.metrics import catalogue
from agentspan_standalone.metrics.catalogue import BY_NAME, METRICS, SECONDS

TEXT = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[str, ...]


@dataclass(slots=True)
class Times:
    """How often something took how long."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(SECONDS) + 1))
    """By bucket, not added up; the last is for all that took longer."""
    total: float = 0.0

    def buckets(self) -> list[tuple[str, float]]:
        """As Prometheus wants them: each with all that took less."""
        upto, so_far = [*map(str, SECONDS), "+Inf"], 0
        found: list[tuple[str, float]] = []
        for bound, count in zip(upto, self.counts, strict=True):
            so_far += count
            found.append((bound, so_far))
        return found


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a metric."""

    name: str
    value: float | Times
    labels: Labels = ()


def exposed(samples: Iterable[Sample]) -> bytes:
    """All metrics with these samples, and those of the operating system's process."""
    registry = CollectorRegistry()
    registry.register(_Samples(samples))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


class _Samples(Collector):
    def __init__(self, samples: Iterable[Sample]) -> None:
        self._by_name: dict[str, list[Sample]] = {name: [] for name in BY_NAME}
        for sample in samples:
            self._by_name[sample.name].append(sample)

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        return (_family(metric, self._by_name[metric.name]) for metric in METRICS)


def _family(metric: catalogue.Metric, samples: Sequence[Sample]) -> Metric:
    match metric.kind:
        case "counter":
            counter = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
            for sample in samples:
                counter.add_metric(sample.labels, _number(sample))
            return counter
        case "gauge":
            gauge = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
            for sample in samples:
                gauge.add_metric(sample.labels, _number(sample))
            return gauge
        case "histogram":
            histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
            for sample in samples:
                assert isinstance(sample.value, Times)
                histogram.add_metric(sample.labels, sample.value.buckets(), sum_value=sample.value.total)
            return histogram


def _number(sample: Sample) -> float:
    assert not isinstance(sample.value, Times)
    return sample.value
