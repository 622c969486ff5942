"""The report as it is printed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from rich.console import Console

from gateway.commands.compare import plot, rendered
from gateway.core.signature import Column, Kind
from gateway.core.tensor import BY_NAME
from gateway.routing.compare import Comparer, Pair
from gateway.routing.report import MirrorState, merged, report, without_inputs
from gateway.routing.shadow import ShadowCounts
from gateway.routing.tally import Tolerance
from tests.support.edge_service import rows_of

PRICE = Column(name="price", kind=Kind.FLOAT, datatype=BY_NAME["FP64"])
LABEL = Column(name="label", kind=Kind.CATEGORICAL, datatype=BY_NAME["BYTES"], levels=("no", "yes"))


def comparer(primary: str, shadow: str, off: float, flips: int, count: int = 200) -> Comparer:
    """``off`` is added to every other price."""
    one = Comparer(primary, shadow, Tolerance(1e-8, 1e-5), 5)
    for i in range(count):
        ours = rows_of([PRICE, LABEL], (100.0 + i, 0))
        theirs = rows_of([PRICE, LABEL], (100.0 + i + off * (i % 2), int(i < flips)))
        one.note(Pair(ours, theirs, 0.001, 0.002, f"r{i}", None))
    return one


def state(*comparers: Comparer) -> MirrorState:
    counts = ShadowCounts("next", 20, 200, {"budget": 3}, {"WorkerFailed": 1})
    return MirrorState("price", Tolerance(1e-8, 1e-5), 5, [counts], [one.state for one in comparers])


def printed(value: dict[str, Any]) -> str:
    console = Console(width=160, highlight=False)
    with console.capture() as capture:
        for part in rendered(value):
            console.print(part)
    return capture.get()


def verdict(*comparers: Comparer) -> str:
    found = report(state(*comparers))["shadows"][0]["comparisons"][0]
    assert found["differs"] == (found["verdict"] == "differs")
    return str(found["verdict"])


def test_the_verdict_the_picture_the_flips_and_the_counts_are_printed() -> None:
    text = printed(report(state(comparer("blue", "next", 2.5, 30))))

    assert "next against blue  DIFFERS" in text
    assert "no → yes" in text
    assert "█" in text
    assert "20 % drawn, 200 sent; dropped: 3 budget; failed: 1 WorkerFailed" in text


def test_every_part_of_the_report_can_be_nothing() -> None:
    empty = MirrorState("price", Tolerance(0.0, 0.0), 5)

    assert "no shadows" in printed(report(empty))
    assert "nothing to compare yet" in printed(report(state()))


def test_a_shadow_that_says_the_same_agrees() -> None:
    assert verdict(comparer("blue", "next", 0.0, 0)) == "agrees"


def test_one_that_differs_no_more_than_the_primary_from_itself_agrees() -> None:
    assert verdict(comparer("blue", "next", 2.5, 0), comparer("blue", "blue", 2.5, 0)) == "agrees"


def test_one_that_differs_more_than_the_primary_from_itself_does_not() -> None:
    assert verdict(comparer("blue", "next", 2.5, 0), comparer("blue", "blue", 0.0, 0)) == "differs"


def test_one_that_says_something_else_differs_where_nothing_is_replayed() -> None:
    assert verdict(comparer("blue", "next", 2.5, 0)) == "differs"


@pytest.mark.parametrize("count", [2, 500])
def test_a_single_row_of_noise_proves_nothing(count: int) -> None:
    replayed = comparer("blue", "blue", 0.0, 0, count=1)

    assert verdict(comparer("blue", "next", 2.5, 0, count=count), replayed) == "undecided"


def test_a_few_wrong_rows_are_no_agreement_where_the_primary_has_never_disagreed_with_itself() -> None:
    assert verdict(comparer("blue", "next", 0.0, 3), comparer("blue", "blue", 0.0, 0, count=20)) == "undecided"


def test_what_noise_hardly_explains_is_undecided() -> None:
    assert verdict(comparer("blue", "next", 2.5, 0), comparer("blue", "blue", 0.0, 6, count=25)) == "undecided"


def test_a_shadow_that_has_answered_nothing_does_not_agree() -> None:
    silent = comparer("blue", "next", 0.0, 0, count=0)
    silent.failed(primary=False, shadow=True)

    assert verdict(silent) == "undecided"


def test_one_wrong_row_among_few_replays_is_no_noise_that_explains_them_all() -> None:
    replayed = comparer("blue", "blue", 2.5, 0, count=2)

    assert verdict(comparer("blue", "next", 2.5, 150), replayed) == "undecided"


def test_noise_that_is_seen_far_more_often_than_the_shadow_disagrees_explains_it() -> None:
    assert verdict(comparer("blue", "next", 0.0, 1), comparer("blue", "blue", 2.5, 0, count=20)) == "agrees"


def test_an_undecided_verdict_says_what_it_lacks() -> None:
    text = printed(report(state(comparer("blue", "next", 2.5, 0), comparer("blue", "blue", 0.0, 0, count=2))))

    assert "next against blue  UNDECIDED" in text
    assert "blue agrees with itself on 100.00 % of 2, too few to tell" in " ".join(text.split())


def test_a_report_of_a_server_of_before_is_printed_without_what_it_does_not_say() -> None:
    told = report(state(comparer("blue", "next", 2.5, 0), comparer("blue", "blue", 0.0, 0, count=2)))
    del told["inputs_withheld"]
    for field in ("noise_rows", "verdict"):
        del told["shadows"][0]["comparisons"][0][field]

    assert "next against blue  agrees" in printed(told)
    assert "blue agrees with itself on 100.00 %\n" in printed(told)


def with_inputs(one: Comparer) -> MirrorState:
    """What ``one`` has kept, and a row of somebody's."""
    found = state(one)
    assert found.comparisons[0].worst
    found.comparisons[0].worst[0].inputs = {"age": 51}
    return found


def test_inputs_that_were_left_out_are_told_of_and_the_state_itself_keeps_them() -> None:
    kept = with_inputs(comparer("blue", "next", 2.5, 0))
    told = report(without_inputs(kept))
    (found,) = told["shadows"][0]["comparisons"]

    assert "deploy" in told["inputs_withheld"]
    assert "inputs of rows are shown to callers with the role deploy on the endpoint: see --key-file" in printed(told)
    assert [row["inputs"] for row in found["worst"]] == [None] * 5
    assert kept.comparisons[0].worst[0].inputs == {"age": 51}


def test_what_is_shown_with_its_inputs_says_that_nothing_was_left_out() -> None:
    told = report(with_inputs(comparer("blue", "next", 2.5, 0)))

    assert told["inputs_withheld"] == ""
    assert "age=51" in printed(told)


def test_where_no_inputs_are_kept_none_were_left_out() -> None:
    told = report(without_inputs(state(comparer("blue", "next", 2.5, 0))))

    assert told["inputs_withheld"] == ""


def test_what_one_of_two_processes_left_out_was_left_out_of_both() -> None:
    whole = merged(
        [state(comparer("blue", "next", 0.0, 0)), without_inputs(with_inputs(comparer("b", "next", 1.0, 0)))]
    )

    assert report(whole)["inputs_withheld"]


def test_the_reports_of_two_processes_are_one() -> None:
    both = report(merged([state(comparer("blue", "next", 2.5, 30)), state(comparer("blue", "next", 0.0, 0))]))
    (shadow,) = both["shadows"]

    assert (shadow["mirrored"], shadow["comparisons"][0]["rows"]) == (400, 400)
    assert len(shadow["comparisons"][0]["worst"]) == 5


@pytest.mark.parametrize(
    ("heights", "picture"), [([], ""), ([0, 0], "  "), ([1, 1000], "▁█"), ([4, 8, 0], "▄█ "), ([7], "█")]
)
def test_a_bar_is_seen_when_there_is_anything_at_all(heights: list[int], picture: str) -> None:
    assert plot([(float(i), height) for i, height in enumerate(heights)]) == picture


def test_quantiles_of_the_difference_are_in_the_report() -> None:
    (found,) = report(state(comparer("blue", "next", 2.5, 0)))["shadows"][0]["comparisons"]
    difference = found["columns"]["price"]["difference"]

    assert (difference["p25"], difference["mean"]) == (0.0, pytest.approx(1.25))
    assert np.isclose(difference["p99"], 2.5, rtol=0.02)
