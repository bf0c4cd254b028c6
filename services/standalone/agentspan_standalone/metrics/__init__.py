"""What this process measures, for Prometheus: counted where it happens, looked up when somebody scrapes.

Services know nothing of it: they are given small observers, or are asked how they stand. docs/metrics.md lists it all.
"""

from agentspan_standalone.metrics.catalogue import METRICS, Metric
from agentspan_standalone.metrics.door import OnItsOwnPort
from agentspan_standalone.metrics.door import router as metrics_router
from agentspan_standalone.metrics.exposition import Sample
from agentspan_standalone.metrics.observers import Measured

__all__ = ["METRICS", "Measured", "Metric", "OnItsOwnPort", "Sample", "metrics_router"]
