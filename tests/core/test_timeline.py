"""What a timeline tells, whichever stages a request has passed and however long they took."""

from __future__ import annotations

from itertools import pairwise
from time import perf_counter_ns

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.timeline import MARKS, Timeline

START = 10**12
SECOND = 10**9

durations = st.one_of(st.integers(0, 20_000_000), st.integers(0, 10 * SECOND))
"""Nanoseconds: around the edge of what is looked up, and any."""
short = st.integers(0, 1_500_000)
ways = st.one_of(
    st.lists(st.one_of(st.none(), durations), min_size=len(MARKS), max_size=len(MARKS)),
    st.lists(st.one_of(st.none(), short), min_size=len(MARKS), max_size=len(MARKS)),
    st.lists(short, min_size=len(MARKS), max_size=len(MARKS)),
)
"""How long each stage took; None: the request did not get there. Some are short as a whole."""


def passed(took: list[int | None], compute: int | None) -> Timeline:
    timeline, at = Timeline(START), START
    for stage, each in zip(MARKS, took, strict=True):
        if each is not None:
            at += each
            setattr(timeline, stage, at)
    if compute is not None:
        timeline.compute = compute
    return timeline


def told(timeline: Timeline) -> list[tuple[str, float]]:
    """The header, read as W3C Server Timing says."""
    parts = [part.partition(";dur=") for part in timeline.server_timing().split(", ") if part]
    return [(stage, float(ms)) for stage, _, ms in parts]


@given(ways, st.one_of(st.none(), durations))
@example([0] * 7, 0)
@example([0] * 7, None)
@example([9_999_999] * 7, 9_999_999)
@example([10_000_000] * 7, 10_000_000)
@example([1_428_571] * 7, 1_428_571)
@example([1_428_572] * 7, 1_428_572)
@example([1000] * 7, 20_000_000)
@example([5000] * 5 + [None, 5000], None)
@example([5000] * 6 + [None], 1_000_000)
def test_the_header_says_what_the_stages_say_in_whole_microseconds(took: list[int | None], compute: int | None) -> None:
    timeline = passed(took, compute)
    seconds = {stage: int(each) for stage, each in zip(MARKS, took, strict=True) if each is not None}
    expected = [(stage, ns // 1000 / 1000) for stage, ns in seconds.items()]
    if compute is not None:
        place = sum(each is not None for each in took[:6])
        expected.insert(place, ("compute", compute // 1000 / 1000))

    assert told(timeline) == expected
    assert [stage for stage, _ in timeline.stages] == [stage for stage, _ in expected]
    for (_, exact), (_, ms) in zip(timeline.stages, expected, strict=True):
        assert 0 <= exact * 1000 - ms < 0.001_001


def test_every_figure_has_three_digits_after_the_point() -> None:
    long = passed([0, 1000, 10_000_000, 10, SECOND, 12_345_678, 999_000], 250_000_000)

    assert long.server_timing() == (
        "receive;dur=0.000, auth;dur=0.001, route;dur=10.000, features;dur=0.000, queue;dur=1000.000, "
        "worker;dur=12.345, compute;dur=250.000, answer;dur=0.999"
    )


def test_a_quick_request_is_told_in_the_same_form() -> None:
    quick = passed([12_000, 3999, 2000, 20_500, 300_000, 700_000, 90_000], 200_000)

    assert quick.server_timing() == (
        "receive;dur=0.012, auth;dur=0.003, route;dur=0.002, features;dur=0.020, queue;dur=0.300, "
        "worker;dur=0.700, compute;dur=0.200, answer;dur=0.090"
    )


def test_a_stage_begins_where_the_last_one_that_was_marked_has_ended() -> None:
    refused = passed([1000, None, None, None, None, None, 5000], None)

    assert refused.stages == [("receive", 1e-6), ("answer", 5e-6)]


def test_marks_are_readings_of_a_clock_that_goes_on() -> None:
    timeline = Timeline()
    for stage in MARKS:
        setattr(timeline, stage, perf_counter_ns())
    readings = [timeline.started, *(getattr(timeline, stage) for stage in MARKS)]

    assert all(before <= after for before, after in pairwise(readings))
    assert timeline.total() >= sum(seconds for _, seconds in timeline.stages) - 1e-9


def test_marks_in_another_order_do_no_harm() -> None:
    timeline = passed([5_000_000, None, None, None, None, 1000, None], None)
    timeline.auth = START + 1000

    assert timeline.server_timing() == "receive;dur=5.000, auth;dur=-4.999, worker;dur=5.000"
