"""Changes of the served folder: what is changed, when a change has come everywhere, and what it is blamed for."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from loadtests.bench.progress import EventLog, Progress, Taken, outcome
from loadtests.bench.ratios import ratios
from loadtests.bench.reload import Endpoint, kinds
from loadtests.bench.reload_found import Disturbed, Reloaded, by_kind, disturbed, within
from loadtests.bench.server import ServerFailed
from loadtests.bench.spread import QuantileRatio
from loadtests.bench.steady import Sample


def sample(due: float, seconds: float = 0.001, failure: str = "", *, met_theft: bool = False) -> Sample:
    return Sample(0, due, seconds, 0.0, failure, met_theft)


def taken(written: float, running: float, settled: float | None = None) -> Taken:
    return Taken(written=written, running=running, settled=settled or running)


def progress(**given: Any) -> Progress:
    return Progress(**{"running": 2, "phase": "settled", "gateways": {"0": 2, "1": 2}, **given})


def test_half_of_a_hundred_changes_are_of_weights_and_a_quarter_need_new_workers() -> None:
    assert Counter(kinds(100)) == {"weights": 50, "limits": 25, "replaced": 25}


def test_the_order_of_the_changes_is_the_same_in_every_run() -> None:
    assert kinds(100) == kinds(100)


@pytest.mark.parametrize("kind", ["weights", "limits", "replaced"])
def test_every_change_makes_another_endpoint(kind: str) -> None:
    endpoint = Endpoint(["a.onnx", "b.onnx"])
    states = [endpoint.now(), *(endpoint.change(kind) for _ in range(8))]

    assert all(before != after for before, after in pairwise(states))


@pytest.mark.parametrize(
    ("kind", "stays"), [("weights", "deployments"), ("limits", "traffic"), ("replaced", "traffic")]
)
def test_a_change_leaves_the_rest_as_it_was(kind: str, stays: str) -> None:
    endpoint = Endpoint(["a.onnx", "b.onnx"])

    assert endpoint.now()[stays] == endpoint.change(kind)[stays]


def test_one_deployment_is_replaced_at_a_time() -> None:
    endpoint = Endpoint(["a", "b"])
    states = [endpoint.change("replaced")["deployments"] for _ in range(5)]
    models = [(state["blue"]["model"], state["green"]["model"]) for state in states]

    assert models == [("b", "a"), ("b", "b"), ("a", "b"), ("a", "a"), ("b", "a")]


def test_a_change_has_come_when_every_gateway_runs_it() -> None:
    assert outcome(1, progress())


@pytest.mark.parametrize(
    "now",
    [
        progress(running=1, gateways={"0": 1}),
        progress(gateways={"0": 2, "1": 1}),
        progress(gateways={"0": 2, "1": None}),
    ],
)
def test_a_change_has_not_come_while_one_gateway_runs_something_older(now: Progress) -> None:
    assert not outcome(1, now)


def test_a_refused_change_ends_the_bench_with_its_reason() -> None:
    refused: Any = {"version": 3, "reason": "no such model"}

    with pytest.raises(ServerFailed, match="no such model"):
        outcome(2, progress_of(refused))


def test_a_refusal_of_long_ago_is_nobody_s_business() -> None:
    assert outcome(1, progress_of({"version": 1, "reason": "no such model"}))


def test_the_first_event_of_a_name_that_was_logged_since_is_told_by_our_clock(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(event("came", 1) + "a line of somebody else\n")
    events = EventLog(log, offset=1_000_000_000.0)
    before = events.first("came")
    with log.open("a") as file:
        file.write(event("went", 2) + event("came", 3) + event("came", 4))

    assert (before, events.first("came")) == (None, 3.5)


def test_half_a_line_is_no_event_yet(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    events = EventLog(log, offset=0.0)
    log.write_text(event("came", 1)[:-1])

    assert events.first("came") is None


def event(name: str, second: int) -> str:
    """1,000,000,000 s after the epoch, and so many and a half."""
    return f'{{"event":"{name}","level":"info","timestamp":"2001-09-09T01:46:{40 + second}.500000Z"}}\n'


def progress_of(refused: dict[str, Any]) -> Progress:
    page = {"running": 2, "phase": "settled", "gateways": {"0": 2}, "refused": refused, "wanted": 3}
    return msgspec.convert(page, Progress)


def test_a_failed_request_counts_for_the_change_that_was_under_way() -> None:
    changes = [("weights", taken(10.0, 10.5)), ("replaced", taken(20.0, 22.0, 25.0)), ("weights", taken(30.0, 30.1))]
    failed = [sample(9.9, 0.2, "HTTP 503"), sample(24.0, 0.1, "connection lost"), sample(27.0, 0.1, "HTTP 500")]

    found = by_kind(changes, [*failed, sample(10.1)])

    assert [(one.kind, one.count, one.failed) for one in found] == [("weights", 2, 1), ("replaced", 1, 1)]


def test_a_kind_of_change_is_told_by_its_median_and_its_longest() -> None:
    found = by_kind([("weights", taken(0.0, took, took + 1.0)) for took in (0.25, 0.75, 0.5)], [])

    assert (found[0].p50_s, found[0].max_s, found[0].settled_max_s) == (0.5, 0.75, 1.75)


def test_only_what_was_due_in_a_window_is_in_it() -> None:
    samples = [sample(0.9), sample(1.0, 0.002), sample(2.0)]

    assert within(samples, 1.0, 2.0) == [2.0]


def test_quiet_and_loading_windows_are_held_against_each_other() -> None:
    samples = [sample(0.5, 0.001), sample(1.5, 0.002), sample(2.5, 0.5), sample(3.5, 0.001), sample(4.5, 0.002)]

    found = disturbed("mlp", samples, [((0.0, 1.0), (1.0, 2.0)), ((3.0, 4.0), (4.0, 5.0))])

    assert (found.requests, found.p99.value) == (4, 2.0)


def test_a_failed_request_is_in_no_window() -> None:
    found = disturbed("mlp", [sample(0.5), sample(1.5), sample(1.6, 9.0, "HTTP 503")], [((0.0, 1.0), (1.0, 2.0))])

    assert (found.requests, found.p99_with_stolen.value) == (2, 1.0)


def test_what_met_theft_does_not_count_and_is_told_apart() -> None:
    samples = [sample(0.5), sample(0.6), sample(1.5), sample(1.6, 0.003, met_theft=True)]

    found = disturbed("mlp", samples, [((0.0, 1.0), (1.0, 2.0))])

    assert (found.requests, found.stolen, found.p99.value, found.p99_with_stolen.value) == (3, 0.25, 1.0, 3.0)


def reloaded(*, failed: int = 0, took: float = 0.5, by: float = 1.0) -> Reloaded:
    ratio = QuantileRatio(without=2.0, with_=2.0 * by, low=0.9, high=1.2)
    return Reloaded(
        changes=by_kind([("weights", taken(0.0, took)), ("replaced", taken(0.0, 9.0))], []),
        requests=1000,
        failures={"HTTP 503": failed} if failed else {},
        loads=4,
        load_p50_s=3.0,
        disturbed=[Disturbed(endpoint="mlp", requests=100, stolen=0.0, p50=ratio, p99=ratio, p99_with_stolen=ratio)],
        lag_p99_ms=0.1,
        foreign=0.0,
    )


@pytest.mark.parametrize(
    ("given", "met"),
    [
        ({}, [True, True, True]),
        ({"failed": 1}, [False, True, True]),
        ({"took": 1.01}, [True, False, True]),
        ({"by": 1.11}, [True, True, False]),
    ],
)
def test_no_request_may_fail_weights_change_in_a_second_and_others_hardly_notice(
    given: dict[str, Any], met: list[bool]
) -> None:
    assert [ratio.is_met for ratio in ratios([], [], None, reload=reloaded(**given))] == met
