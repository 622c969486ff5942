"""The pure parts of the bench: reading what generators print, the promised ratios, the tables."""

from __future__ import annotations

from math import isnan
from typing import Any

import pytest

from loadtests.bench import h2load, wrk
from loadtests.bench.closed_loop import Measurement, medians
from loadtests.bench.connections import Held
from loadtests.bench.cpu import TICK, busy_seconds, process_seconds, stolen_seconds
from loadtests.bench.features_cost import FEAST_CALL, HIT, MISS
from loadtests.bench.idle import Added, compute_ms
from loadtests.bench.idle_grpc import is_whole
from loadtests.bench.load import Load, Request
from loadtests.bench.lockgate import role_of
from loadtests.bench.open_loop import arrivals, summary
from loadtests.bench.overload import Overload, Step, step
from loadtests.bench.quantile import quantile
from loadtests.bench.ratios import Ratio, ratios
from loadtests.bench.reload_found import Changes, Disturbed, Reloaded
from loadtests.bench.report import Report, replaced, tables
from loadtests.bench.shadow import Shadowed
from loadtests.bench.spread import QuantileRatio

H2LOAD = """\
finished in 2.00s, 5761.50 req/s, 538.41KB/s
requests: 11523 total, 11539 started, 11523 done, 11523 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 11523 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 1.05MB (1102659) total, 34.05KB (34869) headers (space savings 96.26%), 416.36KB (426351) data
"""
LOG = ["1795301842059390\t200\t3000\n", "1795301842059391\t200\t1000\n", "1795301842059392\t200\t2000\n"]


def measured(**changes: Any) -> Measurement:
    given: dict[str, Any] = {
        "group": "rest",
        "server": "bare",
        "connections": 64,
        "rate": 1000.0,
        "p50_ms": 1.0,
        "p99_ms": 2.0,
        "errors": 0,
        "cpu_us": {"server": 30.0},
        "resident_mb": {"server": 50.0},
        "foreign": 0.0,
    }
    return Measurement(**{**given, **changes})


def at(factor: float, goodput: float) -> Step:
    return Step(
        factor=factor,
        offered=factor * 100,
        goodput=goodput,
        refused=0.0,
        timed_out=0.0,
        admitted_p50_ms=1.0,
        admitted_p99_ms=2.0,
        refused_p99_ms=float("nan"),
        lag_p99_ms=0.1,
        foreign=0.0,
        errors=0,
    )


def test_wrk_result_is_read_from_the_line_that_the_script_printed() -> None:
    output = (
        f'Running 1s test\n{wrk.RESULT}{{"requests": 8, "seconds": 2.0, "p50_ms": 1.5, "p99_ms": 3, "errors": 1}}\n'
    )

    assert wrk.parse(output) == Load(requests=8, seconds=2.0, p50_ms=1.5, p99_ms=3, errors=1)


def test_wrk_output_without_a_result_is_an_error() -> None:
    with pytest.raises(ValueError, match="no result"):
        wrk.parse("unable to connect")


def test_a_body_cannot_end_the_string_that_holds_it_in_the_wrk_script() -> None:
    program = wrk.script(Request(url="http://x/", body=b'{"a": "\\"}\nos.exit()'))

    assert 'wrk.body = "{\\034a\\034: \\034\\092\\034}\\010os.exit()"' in program


def test_h2load_figures_come_from_its_summary_and_its_log() -> None:
    load = h2load.parse(H2LOAD, LOG, answer_bytes=37)

    assert load == Load(requests=11523, seconds=2.0, p50_ms=2.0, p99_ms=3.0, errors=0)


def test_a_grpc_call_that_failed_inside_a_200_is_found_by_its_missing_message() -> None:
    ten_missing = H2LOAD.replace("(426351) data", f"({426351 - 370}) data")

    assert h2load.parse(ten_missing, LOG, answer_bytes=37).errors == 10


def test_calls_that_h2load_itself_saw_fail_are_errors() -> None:
    failed = H2LOAD.replace("11523 succeeded, 0 failed", "11520 succeeded, 3 failed")

    assert h2load.parse(failed, LOG, answer_bytes=37).errors == 3


def test_h2load_output_without_a_result_is_an_error() -> None:
    with pytest.raises(ValueError, match="no result"):
        h2load.parse("could not connect", [], answer_bytes=37)


@pytest.mark.parametrize(("in_flight", "expected"), [(1, (1, 1)), (16, (4, 4)), (64, (16, 4))])
def test_calls_in_flight_are_spread_over_connections(in_flight: int, expected: tuple[int, int]) -> None:
    assert h2load.shape(in_flight) == expected


def test_a_framed_message_carries_its_length() -> None:
    assert h2load.framed(b"abc") == b"\0\0\0\0\3abc"


def test_a_quantile_is_a_measured_value() -> None:
    assert [quantile([1, 2, 3, 4], part) for part in (0.0, 0.5, 0.51, 0.99)] == [1, 2, 3, 4]


def test_the_quantile_of_nothing_is_not_a_number() -> None:
    assert isnan(quantile([], 0.5))


def test_compute_time_is_read_from_server_timing_in_milliseconds() -> None:
    head = b"HTTP/1.1 200 OK\r\nServer-Timing: auth;dur=0.001, compute;dur=1.250, answer;dur=0.020"

    assert compute_ms(head) == 1.25


def test_a_server_that_tells_no_compute_time_had_none() -> None:
    assert compute_ms(b"HTTP/1.1 200 OK\r\n") == 0.0


@pytest.mark.parametrize(
    ("argv", "role"),
    [
        (["python", "-P", "-m", "workers", "--options", "{}"], "worker"),
        (["python", "-P", "-m", "gateway", "gateway", "folder"], "gateway"),
        (["python"], "other"),
    ],
)
def test_a_process_is_told_by_the_module_it_runs(argv: list[str], role: str) -> None:
    assert role_of(argv) == role


def test_medians_are_taken_over_the_turns_of_one_server_and_number_of_connections() -> None:
    found = medians([measured(rate=1.0), measured(rate=9.0), measured(rate=2.0), measured(connections=1, rate=5.0)])

    assert [(m.connections, m.rate) for m in found] == [(64, 2.0), (1, 5.0)]


def test_errors_of_all_turns_add_up_so_that_none_is_hidden_by_a_median() -> None:
    assert medians([measured(errors=4), measured(), measured()])[0].errors == 4


def test_the_cost_ratio_counts_the_gateway_process_alone() -> None:
    ours = measured(server="lockgate", cpu_us={"gateway": 30.0, "worker": 100.0})

    (ratio,) = ratios([measured(), ours], [], None)

    assert (ratio.value, ratio.is_met) == (1.0, True)


def test_a_cost_ratio_above_its_goal_is_not_met() -> None:
    ours = measured(server="lockgate", cpu_us={"gateway": 30.1})

    (ratio,) = ratios([measured(), ours], [], None)

    assert not ratio.is_met


def test_throughput_beside_plumber_must_be_at_least_its_goal() -> None:
    peer = measured(group="lm", server="plumber", rate=100.0)
    ours = [measured(group="lm", server="lockgate", rate=rate) for rate in (4000.0, 3999.0)]

    assert [ratios([peer, one], [], None)[0].is_met for one in ours] == [True, False]


def test_the_idle_promise_is_about_lockgate_and_not_the_bare_server() -> None:
    idle = [
        Added(server=server, wire="REST", requests=9, added_p50_ms=added, added_p99_ms=1.0, seen_p50_ms=1.0)
        for server, added in (("bare", 9.0), ("lockgate", 0.1))
    ]

    assert [ratio.value for ratio in ratios([], idle, None)] == [0.1]


def test_a_lone_call_may_cost_half_as_much_over_grpc_as_over_rest() -> None:
    idle = [
        Added(server="lockgate", wire=wire, requests=9, added_p50_ms=0.15, added_p99_ms=1.0, seen_p50_ms=1.0)
        for wire in ("REST", "gRPC")
    ]

    assert [ratio.is_met for ratio in ratios([], idle, None)] == [True, False]


def test_time_added_is_also_told_in_the_bare_servers_own_cost_which_no_machine_changes() -> None:
    bare = measured(group="grpc", connections=1, cpu_us={"server": 210.0})
    idle = Added(server="lockgate", wire="gRPC", requests=9, added_p50_ms=0.2, added_p99_ms=1.0, seen_p50_ms=1.0)

    absolute, relative = ratios([bare], [idle], None)

    assert (absolute.value, absolute.is_met) == (0.2, False)
    assert relative.value == pytest.approx(200 / 210)
    assert relative.goal == pytest.approx(100 / 105)


def idle_of(server: str, wire: str, ms: float) -> Added:
    return Added(server=server, wire=wire, requests=9, added_p50_ms=ms, added_p99_ms=ms, seen_p50_ms=ms)


@pytest.mark.parametrize(("wire", "within", "beyond"), [("REST", 0.43, 0.45), ("gRPC", 0.21, 0.23)])
def test_time_added_over_either_wire_is_held_against_the_floors_over_grpc(
    wire: str, within: float, beyond: float
) -> None:
    floor = idle_of("floor", "gRPC", 0.2)
    found = [ratios([], [idle_of("lockgate", wire, ms), floor], None)[-1] for ms in (within, beyond)]

    assert [ratio.name for ratio in found] == [f"idle, {wire}: p50 added / floor's"] * 2
    assert [ratio.is_met for ratio in found] == [True, False]


def test_the_promised_milliseconds_keep_their_goal_beside_the_floor() -> None:
    idle = [idle_of("lockgate", "gRPC", 0.15), idle_of("floor", "gRPC", 0.15)]

    assert [(ratio.goal, ratio.is_met) for ratio in ratios([], idle, None)] == [(0.1, False), (1.1, True)]


def test_a_call_at_a_time_may_cost_twice_as_much_of_the_bare_server_as_many() -> None:
    runs = [
        measured(group="grpc", server=server, connections=in_flight, cpu_us={role: us})
        for in_flight in (1, 64)
        for server, role, us in (("bare", "server", 100.0), ("lockgate", "gateway", 50.0))
    ]

    assert [(ratio.value, ratio.is_met) for ratio in ratios(runs, [], None)] == [(0.5, True), (0.5, False)]


def call_frames(*frames: tuple[int, int, int, bytes]) -> bytes:
    """Of type, flags, stream and payload."""
    return b"".join(
        len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
        for kind, flags, stream, payload in frames
    )


def test_a_call_is_over_when_its_stream_has_ended_and_no_byte_earlier() -> None:
    others = [(4, 0, 0, b"settin"), (1, 4, 5, b"head"), (0, 0, 5, b"message"), (1, 5, 3, b"another's trailers")]
    whole = call_frames(*others, (1, 5, 5, b"trailers"))

    assert [cut for cut in range(len(whole) + 1) if is_whole(whole[:cut], 5)] == [len(whole)]


def test_a_call_that_was_reset_is_over() -> None:
    assert is_whole(call_frames((3, 0, 5, bytes(4))), 5)


def test_goodput_kept_is_that_of_the_highest_factor_as_a_share_of_the_best() -> None:
    overload = Overload(capacity=100.0, deadline_ms=250, steps=[at(0.5, 50.0), at(1.0, 100.0), at(3.0, 92.0)])

    assert overload.kept == 0.92


def test_arrivals_are_the_same_for_the_same_seed() -> None:
    assert arrivals(100.0, 2.0, seed=1) == arrivals(100.0, 2.0, seed=1) != arrivals(100.0, 2.0, seed=2)


def test_arrivals_come_at_the_rate_that_was_asked_for_and_in_order() -> None:
    times = arrivals(1000.0, 10.0, seed=3)

    assert times == sorted(times)
    assert len(times) == pytest.approx(10_000, rel=0.05)


def test_only_what_was_answered_in_time_is_goodput() -> None:
    outcome = summary([(200, 0.1), (200, 0.3), (429, 0.01)], [0.0], unsent=1, seconds=2.0, deadline=0.25)

    assert (outcome.offered, outcome.goodput, outcome.late, outcome.statuses) == (2.0, 0.5, 1, {200: 2, 429: 1})


def test_a_refused_request_is_not_among_the_admitted() -> None:
    outcome = summary([(200, 0.1), (429, 0.9)], [0.0], unsent=0, seconds=1.0, deadline=0.25)

    assert outcome.admitted_p99_ms == 100.0


def test_broken_connections_and_unsent_requests_are_errors_of_a_step() -> None:
    outcome = summary([(200, 0.1), (0, 0.1), (500, 0.1), (504, 0.25)], [], unsent=2, seconds=1.0, deadline=0.25)

    assert step(1.0, 1.0, [outcome], foreign=0.0).errors == 4


def test_cpu_time_of_a_process_is_read_past_a_name_with_spaces_and_parentheses() -> None:
    stat = "7 (a) b (c)) S " + " ".join(map(str, range(1, 11))) + " 30 12 0 0"

    assert process_seconds(stat) == 42 * TICK


def test_busy_time_counts_only_the_cores_of_the_bench_and_not_their_idle_time() -> None:
    stat = "cpu  9 9 9 9 9 9 9 0 0 0\ncpu0 1 2 3 100 100 4 5 0 0 0\ncpu1 1 0 0 0 0 0 0\ncpu10 50 0 0 0 0 0 0\n"

    assert busy_seconds(stat, [0, 1]) == 16 * TICK


def test_stolen_time_is_that_of_the_cores_of_the_bench() -> None:
    stat = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 1 2 3 4 5 6 7 20 0 0\ncpu1 0 0 0 0 0 0 0 3 0 0\ncpu2 0 0 0 0 0 0 0 5 0 0\n"

    assert stolen_seconds(stat, [0, 1]) == 23 * TICK


def report(**changes: Any) -> Report:
    given: dict[str, Any] = {
        "started": "2026-01-02T03:04:05+00:00",
        "took_seconds": 1.0,
        "options": {"repeats": 3, "seconds": 3.0},
        "machine": {"processor": "P", "cores": 2, "kernel": "6", "python": "3.11", "r": "R 4"},
        "ratios": [],
        "medians": [],
        "idle": [],
        "overload": None,
        "runs": [],
    }
    return Report(**{**given, **changes})


def test_the_table_marks_a_promise_that_is_not_kept() -> None:
    ours = measured(server="lockgate", cpu_us={"gateway": 90.0})
    page = tables(report(ratios=ratios([measured(), ours], [], None)))

    assert "| 3 | ≤ 1 | **no** |" in page


def test_a_row_that_nobody_promised_is_neither_met_nor_missed() -> None:
    yardstick = Ratio(name="floor", value=3.0, goal=None, at_least=True)

    assert "| floor | 3 | – | – |" in tables(report(ratios=[yardstick]))


def test_the_table_marks_a_run_with_errors_and_one_beside_other_work() -> None:
    page = tables(report(medians=[measured(errors=7, foreign=0.25)]))

    assert "| **7** | 25% |" in page


@pytest.mark.parametrize(("shares", "expected"), [((0.9, 0.9, 0.0), True), ((0.9, 0.0, 0.0), False), ((), False)])
def test_a_run_is_disturbed_when_most_of_it_stood_beside_other_work(shares: tuple[float, ...], expected: bool) -> None:
    assert report(runs=[measured(foreign=share) for share in shares]).is_disturbed is expected


def test_every_row_of_a_table_has_as_many_cells_as_its_head() -> None:
    overload = Overload(capacity=100.0, deadline_ms=250, steps=[at(1.0, 100.0)])
    idle = [Added(server="bare", wire="REST", requests=9, added_p50_ms=0.1, added_p99_ms=0.2, seen_p50_ms=0.1)]
    ratio = QuantileRatio(without=1.0, with_=1.0, low=0.9, high=1.1)
    shadow = Shadowed(
        wire="http",
        rate=9.0,
        requests=9,
        failed=1,
        mirrored=0.9,
        p50=ratio,
        p99=ratio,
        lag_p99_ms=0.1,
        stolen=0.1,
        foreign=0.0,
    )
    reload = Reloaded(
        changes=[Changes(kind="weights", count=9, failed=1, p50_s=0.1, max_s=0.2, settled_max_s=0.3)],
        requests=9,
        failures={"HTTP 503": 1},
        loads=9,
        load_p50_s=1.0,
        disturbed=[Disturbed(endpoint="mlp", requests=9, stolen=0.1, p50=ratio, p99=ratio, p99_with_stolen=ratio)],
        lag_p99_ms=0.1,
        foreign=0.0,
    )
    page = tables(report(medians=[measured()], idle=idle, overload=overload, shadow=[shadow], reload=reload))
    cells = [[line.count("|") for line in part.splitlines() if line.startswith("|")] for part in page.split("\n\n")]

    assert all(len(set(counts)) <= 1 for counts in cells)


def test_only_what_is_between_the_markers_is_replaced() -> None:
    page = "before\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nafter\n"

    assert replaced(page, "new") == "before\n<!-- bench: begin -->\nnew\n<!-- bench: end -->\nafter\n"


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="bench: begin"):
        replaced("nothing here", "new")


def test_an_idle_connection_may_cost_fifty_kilobytes() -> None:
    held = [Held(protocol="h2", connections=500, kilobytes=size) for size in (50.0, 50.1)]

    assert [ratio.is_met for ratio in ratios([], [], None, held)] == [True, False]


def test_rows_of_features_are_held_against_their_goals_and_feast_where_it_was_measured() -> None:
    costs = {HIT: 3.0, MISS: 21.0}
    alone = ratios([], [], None, features=costs)
    beside = ratios([], [], None, features=costs | {FEAST_CALL: 210.0})

    assert [(ratio.value, ratio.is_met) for ratio in alone] == [(3.0, True), (21.0, False)]
    assert [(ratio.value, ratio.is_met) for ratio in beside] == [
        (3.0, True),
        (70.0, True),
        (21.0, False),
        (10.0, False),
    ]
