"""Streams of requests at a constant rate, and what is made of their samples."""

from __future__ import annotations

from math import isnan

import pytest

from loadtests.bench.shadow import SETTLE, mirrored, pairs_of
from loadtests.bench.spread import quantile_ratio
from loadtests.bench.steady import Sample, SteadyLoad, Stream, due_times


def load(*, turn: float) -> SteadyLoad:
    streams = [
        Stream(name=name, wire="http", url="https://h/", body=b"", headers={}, rate=100.0) for name in ("a", "b")
    ]
    return SteadyLoad(streams=streams, ca_file="", seconds=40.0, turn=turn)


def sample(stream: int, due: float, seconds: float = 0.001, failure: str = "") -> Sample:
    return Sample(stream, due, seconds, 0.0, failure)


def test_streams_that_take_turns_never_send_in_the_turn_of_another() -> None:
    turns = [{int(due / 2.0) % 2 for due in due_times(load(turn=2.0), place)} for place in (0, 1)]

    assert turns == [{0}, {1}]


def test_a_stream_keeps_its_rate_in_its_own_turns() -> None:
    assert len(list(due_times(load(turn=2.0), 1))) == pytest.approx(100.0 * 20.0, rel=0.1)


def test_streams_without_turns_send_all_the_time_and_not_at_the_same_moments() -> None:
    first, second = (list(due_times(load(turn=0.0), place)) for place in (0, 1))

    assert len(first) == pytest.approx(100.0 * 40.0, rel=0.1)
    assert not set(first) & set(second)


def test_windows_are_paired_without_the_first_pair_and_the_start_of_each() -> None:
    samples = [sample(n % 2, 100.0 + n * 2.0 + at) for n in range(6) for at in (0.0, SETTLE + 0.01, 1.9)]

    pairs = pairs_of(samples, 2.0, 2)

    assert [[len(side) for side in pair] for pair in pairs] == [[2, 2], [2, 2]]


def test_a_failed_request_has_no_latency() -> None:
    samples = [sample(0, 0.0), sample(0, 5.0), sample(0, 5.1, failure="HTTP 503"), sample(1, 7.0, 0.003)]

    assert pairs_of(samples, 2.0, 1) == [([1.0], [3.0])]


def test_what_met_theft_does_not_count() -> None:
    samples = [sample(0, 0.0), sample(0, 5.0), Sample(0, 5.1, 9.0, 0.0, "", True), sample(1, 7.0, 0.003)]

    assert pairs_of(samples, 2.0, 1) == [([1.0], [3.0])]


def test_windows_that_are_all_alike_leave_no_doubt_about_their_ratio() -> None:
    found = quantile_ratio([([1.0, 2.0], [1.1, 2.2])] * 8, 0.99)

    assert (found.value, found.low, found.high) == (1.1, 1.1, 1.1)


def test_one_window_that_was_disturbed_is_seen_in_the_bounds() -> None:
    found = quantile_ratio([([1.0], [1.0])] * 7 + [([1.0], [9.0])], 0.99)

    assert (found.low, found.high) == (1.0, 9.0)


def test_a_ratio_of_nothing_is_not_a_number() -> None:
    assert isnan(quantile_ratio([([], [])], 0.5).value)


def test_what_all_gateways_mirrored_adds_up() -> None:
    scrape = (
        'lockgate_mirror_requests_total{endpoint="mlp",deployment="candidate"} 30\n'
        'lockgate_mirror_requests_total{endpoint="mlp",deployment="other"} 12\n'
        'lockgate_mirror_dropped_total{endpoint="mlp",deployment="candidate",reason="queue"} 5\n'
    )

    assert mirrored(scrape) == 42
