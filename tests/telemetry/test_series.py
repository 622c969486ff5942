"""Counted in bulk, requests give what they give when each is looked at alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.timeline import MARKS, Timeline
from gateway.telemetry.histogram import REQUEST_BOUNDS, STAGE_BOUNDS, Histogram
from gateway.telemetry.series import Series

START = 10**12
NS = 1_000_000_000

durations = st.one_of(
    st.integers(0, 4 * NS), st.sampled_from([round(bound * NS) + off for bound in STAGE_BOUNDS for off in (-1, 0, 1)])
)
requests = st.tuples(
    st.lists(st.one_of(st.none(), durations, durations), min_size=len(MARKS), max_size=len(MARKS)),
    st.one_of(st.just(-1), durations),
    durations,
)


def timeline(took: list[int | None], compute: int, rest: int) -> Timeline:
    made, at = Timeline(START), START
    for stage, each in zip(MARKS, took, strict=True):
        if each is not None:
            at += each
            setattr(made, stage, at)
    made.compute, made.done = compute, at + rest
    return made


@given(st.lists(st.lists(requests, max_size=6), max_size=4))
def test_a_bulk_is_counted_like_each_request_alone(bulks: list[list[tuple[list[int | None], int, int]]]) -> None:
    series, whole, stages = Series(), Histogram(REQUEST_BOUNDS), dict[str, Histogram]()
    for bulk in bulks:
        for request in bulk:
            series.noted.append(one := timeline(*request))
            whole.observe((one.done - START) / NS)
            for stage, seconds in one.stages:
                stages.setdefault(stage, Histogram(STAGE_BOUNDS)).observe(seconds)
        series.settle()
    counted = sum(len(bulk) for bulk in bulks)

    assert (series.count, series.seconds.counts) == (counted, whole.counts)
    assert {stage: each.counts for stage, each in series.stages.items()} == {
        stage: each.counts for stage, each in stages.items()
    }
    assert all(abs(each.sum - stages[stage].sum) < 1e-6 for stage, each in series.stages.items())
    assert abs(series.seconds.sum - whole.sum) < 1e-6


def test_what_waits_to_be_counted_counts_and_is_counted_once() -> None:
    series = Series()
    series.noted.append(timeline([1000] * 7, 500, 0))
    before = series.count
    seen = sum(series.seconds.counts), sum(series.stages["auth"].counts), sum(series.seconds.counts)

    assert (before, series.count, seen) == (1, 1, (1, 1, 1))


def test_stages_are_in_the_order_of_a_request_s_way() -> None:
    series = Series()
    series.noted.append(timeline([1000] * 7, 500, 0))

    assert list(series.stages) == ["receive", "auth", "route", "features", "queue", "worker", "compute", "answer"]


def test_requests_without_times_are_counted_alone() -> None:
    series = Series()
    series.add_untimed()

    assert (series.count, sum(series.seconds.counts), series.stages) == (1, 0, {})
