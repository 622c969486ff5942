"""
The figures of one gateway process, put together when somebody asks for them.

Everything is collected at that moment from plain counters elsewhere; nothing here is on the way of a request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.core.catalog import Catalog, StatsSource
from gateway.telemetry import names
from gateway.telemetry.exposition import Exposition
from gateway.telemetry.histogram import Histogram
from gateway.telemetry.recorder import Recorder

__all__ = ["CONTENT_TYPE", "GatewayMetrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_WHOLE = ("endpoint", "deployment")
_BATCH_BOUNDS = tuple(float(2**power) for power in range(11))
_NS = 1e-9


class GatewayMetrics:
    """
    ``in_flight``: requests being answered; ``certificate_ends``: Unix time of the end of what callers are shown;
    ``more``: whoever has figures of its own.
    """

    def __init__(
        self,
        recorder: Recorder,
        catalog: Catalog,
        stats: StatsSource,
        in_flight: Callable[[], int] = lambda: 0,
        certificate_ends: Callable[[], float] | None = None,
        *,
        more: Sequence[Callable[[Exposition], None]] = (),
    ) -> None:
        self._more = more
        self._certificate_ends = certificate_ends
        self._recorder, self._catalog, self._stats, self._in_flight = recorder, catalog, stats, in_flight

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        out = Exposition()
        self._write_requests(out)
        self._write_errors(out)
        self._write_batches(out)
        out.gauge(names.IN_FLIGHT, "Requests being answered at this moment.", (), [((), self._in_flight())])
        if self._certificate_ends is not None:
            out.gauge(
                names.CERTIFICATE_ENDS,
                "When the server's certificate ends, as Unix time.",
                (),
                [((), self._certificate_ends())],
            )
        for write in self._more:
            write(out)
        return out.text()

    def _write_requests(self, out: Exposition) -> None:
        labels = (*_WHOLE, "protocol", "code")
        series = self._recorder.series
        out.counter(
            names.REQUESTS,
            "Requests that were answered, by status.",
            labels,
            [(key, one.count) for key, one in series.items()],
        )
        out.histogram(
            names.REQUEST_SECONDS,
            "From the first byte to the answer.",
            labels,
            [(key, one.seconds) for key, one in series.items() if any(one.seconds.counts)],
        )
        stages: dict[tuple[str, str, str, str], Histogram] = {}
        for key, one in series.items():
            for stage, histogram in one.stages.items():
                known = stages.setdefault((*key[:3], stage), Histogram(histogram.bounds))
                known.counts = [a + b for a, b in zip(known.counts, histogram.counts, strict=True)]
                known.sum += histogram.sum
        out.histogram(names.STAGE_SECONDS, "Time in one stage.", (*_WHOLE, "protocol", "stage"), stages.items())

    def _write_errors(self, out: Exposition) -> None:
        out.counter(
            names.ERRORS,
            "Requests that failed, by class of error.",
            (*_WHOLE, "protocol", "error"),
            self._recorder.errors.items(),
        )
        out.counter(
            names.REFUSED,
            "Requests turned away before any work was done.",
            ("endpoint", "protocol"),
            self._recorder.refused.items(),
        )

    def _write_batches(self, out: Exposition) -> None:
        stats = {
            (endpoint.name, deployment): self._stats.stats(endpoint.name, deployment)
            for endpoint in self._catalog.endpoints()
            for deployment in endpoint.deployments
        }
        sizes = {key: Histogram(_BATCH_BOUNDS) for key in stats}
        for key, one in stats.items():
            for size, (count, _) in (one.batches or {}).items():
                sizes[key].observe(size, count)
        out.counter(names.ROWS, "Rows scored.", _WHOLE, [(key, one.inference_count) for key, one in stats.items()])
        out.counter(
            names.QUEUE_SECONDS,
            "Time that requests waited for a worker.",
            _WHOLE,
            [(key, one.queue_ns * _NS) for key, one in stats.items()],
        )
        out.counter(
            names.COMPUTE_SECONDS,
            "Time in the model.",
            _WHOLE,
            [(key, one.compute_ns * _NS) for key, one in stats.items()],
        )
        out.histogram(names.BATCH_ROWS, "Rows in one batch.", _WHOLE, sizes.items())
