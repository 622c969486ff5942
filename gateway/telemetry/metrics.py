"""
Writes the figures out in Prometheus' text format, when somebody asks for them.

Everything is collected at that moment from plain counters elsewhere; nothing here is on the way of a request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from gateway.core.catalog import Catalog, StatsSource
from gateway.telemetry import names
from gateway.telemetry.histogram import Histogram
from gateway.telemetry.recorder import Recorder

__all__ = ["CONTENT_TYPE", "GatewayMetrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_WHOLE = ["endpoint", "deployment"]
_BATCH_BOUNDS = tuple(float(2**power) for power in range(11))
_NS = 1e-9


class GatewayMetrics(Collector):
    """The metrics of one gateway process."""

    def __init__(
        self, recorder: Recorder, catalog: Catalog, stats: StatsSource, in_flight: Callable[[], int] = lambda: 0
    ) -> None:
        self._recorder, self._catalog, self._stats, self._in_flight = recorder, catalog, stats, in_flight
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """The whole exposition."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        yield from self._requests()
        yield from self._errors()
        yield from self._batches()
        in_flight = GaugeMetricFamily(names.IN_FLIGHT, "Requests being answered at this moment.")
        in_flight.add_metric([], self._in_flight())
        yield in_flight

    def _requests(self) -> Iterator[Metric]:
        labels = [*_WHOLE, "protocol", "code"]
        requests = CounterMetricFamily(names.REQUESTS, "Requests that were answered, by status.", labels=labels)
        seconds = HistogramMetricFamily(names.REQUEST_SECONDS, "From the first byte to the answer.", labels=labels)
        stages = HistogramMetricFamily(names.STAGE_SECONDS, "Time in one stage.", labels=[*_WHOLE, "protocol", "stage"])
        by_stage: dict[tuple[str, str, str, str], Histogram] = {}
        for key, series in self._recorder.series.items():
            requests.add_metric(key, series.count)
            if any(series.seconds.counts):
                seconds.add_metric(key, series.seconds.cumulative(), series.seconds.sum)
            for stage, histogram in series.stages.items():
                known = by_stage.setdefault((*key[:3], stage), Histogram(histogram.bounds))
                known.counts = [a + b for a, b in zip(known.counts, histogram.counts, strict=True)]
                known.sum += histogram.sum
        for stage_key, histogram in by_stage.items():
            stages.add_metric(stage_key, histogram.cumulative(), histogram.sum)
        yield from (requests, seconds, stages)

    def _errors(self) -> Iterator[Metric]:
        errors = CounterMetricFamily(
            names.ERRORS, "Requests that failed, by class of error.", labels=[*_WHOLE, "protocol", "error"]
        )
        for key, count in self._recorder.errors.items():
            errors.add_metric(key, count)
        refused = CounterMetricFamily(
            names.REFUSED, "Requests turned away before any work was done.", labels=["endpoint", "protocol"]
        )
        for pair, count in self._recorder.refused.items():
            refused.add_metric(pair, count)
        yield from (errors, refused)

    def _batches(self) -> Iterator[Metric]:
        rows = CounterMetricFamily(names.ROWS, "Rows scored.", labels=_WHOLE)
        queue = CounterMetricFamily(names.QUEUE_SECONDS, "Time that requests waited for a worker.", labels=_WHOLE)
        compute = CounterMetricFamily(names.COMPUTE_SECONDS, "Time in the model.", labels=_WHOLE)
        batches = HistogramMetricFamily(names.BATCH_ROWS, "Rows in one batch.", labels=_WHOLE)
        for endpoint in self._catalog.endpoints():
            for deployment in endpoint.deployments:
                key = (endpoint.name, deployment)
                stats = self._stats.stats(*key)
                rows.add_metric(key, stats.inference_count)
                queue.add_metric(key, stats.queue_ns * _NS)
                compute.add_metric(key, stats.compute_ns * _NS)
                sizes = Histogram(_BATCH_BOUNDS)
                for size, (count, _) in (stats.batches or {}).items():
                    sizes.observe(size, count)
                batches.add_metric(key, sizes.cumulative(), sizes.sum)
        yield from (rows, queue, compute, batches)
