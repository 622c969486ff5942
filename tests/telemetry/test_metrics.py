from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from gateway.core.catalog import Stats
from gateway.core.errors import Overloaded
from gateway.telemetry.exposition import Exposition
from gateway.telemetry.histogram import Histogram
from gateway.telemetry.merge import merge_metrics
from gateway.telemetry.metrics import GatewayMetrics
from gateway.telemetry.recorder import Recorder
from tests.support.requests import FixedCatalog, FixedStats, deployment, received


def samples(text: bytes) -> dict[str, float]:
    """``name{label="value"}`` → value."""
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def scrape(recorder: Recorder, stats: Stats | None = None) -> dict[str, float]:
    catalog = FixedCatalog("price", deployments=["blue"])
    return samples(GatewayMetrics(recorder, catalog, FixedStats(stats), in_flight=lambda: 7).text())


def recorder() -> Recorder:
    return Recorder(FixedCatalog("price", deployments=["blue"]), lambda: 0.0)


def test_a_value_on_a_bound_belongs_to_the_bucket_below_it() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        histogram.observe(value)

    assert (histogram.counts, histogram.sum) == ([2, 1, 1], 12.0)


def test_buckets_are_cumulative_and_the_last_counts_all() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.5, 9.0):
        histogram.observe(value)
    out = Exposition()
    out.histogram("h", "Doc.", (), [((), histogram)])

    assert samples(out.text()) == {
        'h_bucket{le="1.0"}': 1,
        'h_bucket{le="2.0"}': 2,
        'h_bucket{le="+Inf"}': 3,
        "h_count{}": 3,
        "h_sum{}": 11,
    }


def test_a_label_cannot_break_out_of_its_quotes() -> None:
    out = Exposition()
    out.gauge("g", "Doc.", ("a",), [(['x"} 1\n\\'], 2.5)])
    (family,) = text_string_to_metric_families(out.text().decode())

    assert [(sample.labels, sample.value) for sample in family.samples] == [({"a": 'x"} 1\n\\'}, 2.5)]


def test_the_text_is_what_the_reference_implementation_writes() -> None:
    kept = recorder()
    kept.on_done(received(routed=deployment()), 200, None)
    text = GatewayMetrics(kept, FixedCatalog("price"), FixedStats()).text()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Parsed(text))

    assert samples(generate_latest(registry)) == samples(text)
    assert [line for line in generate_latest(registry).splitlines() if line.startswith(b"#")] == [
        line for line in text.splitlines() if line.startswith(b"#")
    ]


def test_the_end_of_the_certificate_is_exposed() -> None:
    text = GatewayMetrics(recorder(), FixedCatalog(), FixedStats(), certificate_ends=lambda: 1.8e9).text()

    assert samples(text)["lockgate_certificate_not_after_seconds{}"] == 1.8e9


def test_requests_and_their_time_are_exposed_by_status() -> None:
    kept = recorder()
    kept.on_done(received(routed=deployment()), 200, None)
    kept.on_done(received(routed=deployment()), 429, Overloaded("full"))
    found = scrape(kept)
    whole = 'deployment="blue",endpoint="price"'

    assert found[f'lockgate_requests_total{{code="200",{whole},protocol="rest"}}'] == 1
    assert found[f'lockgate_request_duration_seconds_count{{code="200",{whole},protocol="rest"}}'] == 1
    assert found[f'lockgate_request_errors_total{{{whole},error="Overloaded",protocol="rest"}}'] == 1
    assert found['lockgate_refused_total{endpoint="price",protocol="rest"}'] == 1
    assert found["lockgate_requests_in_flight{}"] == 7


def test_a_stage_is_summed_over_all_statuses() -> None:
    kept = recorder()
    for status in (200, 500):
        request = received(routed=deployment())
        request.timeline.compute = 500_000_000
        kept.on_done(request, status, None)
    found = scrape(kept)
    labels = 'deployment="blue",endpoint="price",protocol="rest",stage="compute"'

    assert found[f"lockgate_stage_seconds_count{{{labels}}}"] == 2
    assert found[f"lockgate_stage_seconds_sum{{{labels}}}"] == 1.0


def test_rows_and_batch_sizes_come_from_the_statistics_of_the_dispatcher() -> None:
    stats = Stats(inference_count=35, queue_ns=2_000_000_000, compute_ns=500_000_000, batches={1: (3, 9), 32: (1, 9)})
    found = scrape(recorder(), stats)
    whole = 'deployment="blue",endpoint="price"'

    assert found[f"lockgate_rows_total{{{whole}}}"] == 35
    assert found[f"lockgate_queue_seconds_total{{{whole}}}"] == 2
    assert found[f"lockgate_compute_seconds_total{{{whole}}}"] == 0.5
    assert found[f'lockgate_batch_rows_bucket{{{whole},le="16.0"}}'] == 3
    assert found[f'lockgate_batch_rows_bucket{{{whole},le="32.0"}}'] == 4
    assert found[f"lockgate_batch_rows_sum{{{whole}}}"] == 35


def test_the_metrics_of_two_processes_stay_apart_under_one_name() -> None:
    own = GaugeMetricFamily("up", "Alive.", value=1.0)
    text = 'a_total{x="1"} 3\n'
    merged = merge_metrics({"0": f"# TYPE a counter\n{text}", "1": f"# TYPE a counter\n{text}"}, "gateway", [own])

    assert samples(merged) == {'a_total{gateway="0",x="1"}': 3, 'a_total{gateway="1",x="1"}': 3, "up{}": 1}
    assert merged.count(b"# TYPE a_total counter") == 1


def test_a_merge_of_one_loses_nothing() -> None:
    kept = recorder()
    kept.on_done(received(routed=deployment()), 200, None)
    text = GatewayMetrics(kept, FixedCatalog("price"), FixedStats()).text()
    merged = samples(merge_metrics({"0": text.decode()}, "gateway"))

    assert len(merged) == len(samples(text))


class _Parsed(Collector):
    def __init__(self, text: bytes) -> None:
        self._text = text.decode()

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        return text_string_to_metric_families(self._text)
