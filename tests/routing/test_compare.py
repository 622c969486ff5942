"""What two deployments answered is judged column by column, and the rows that differ most are kept."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from gateway.core.rows import Rows
from gateway.core.signature import Column, Kind
from gateway.core.tensor import BY_NAME
from gateway.routing.compare import Comparer, Comparison, Pair
from gateway.routing.tally import Tolerance
from tests.support.edge_service import rows_of

NUMBER = Column(name="y", kind=Kind.FLOAT, datatype=BY_NAME["FP64"])
SMALL = Column(name="y", kind=Kind.FLOAT, datatype=BY_NAME["FP32"])
LABEL = Column(name="label", kind=Kind.CATEGORICAL, datatype=BY_NAME["BYTES"], levels=("no", "yes"))
SWAPPED = Column(name="label", kind=Kind.CATEGORICAL, datatype=BY_NAME["BYTES"], levels=("yes", "no"))
TEXT = Column(name="label", kind=Kind.STRING, datatype=BY_NAME["BYTES"])
EXACT, LOOSE = Tolerance(0.0, 0.0), Tolerance(0.01, 0.1)


def numbers(*values: float, column: Column = NUMBER) -> Rows:
    return rows_of([column], *[(value,) for value in values])


def judged(
    *pairs: tuple[Rows, Rows], tolerance: Tolerance = LOOSE, worst: int = 5, inputs: Rows | None = None
) -> Comparison:
    comparer = Comparer("blue", "next", tolerance, worst)
    for number, (primary, shadow) in enumerate(pairs):
        comparer.note(Pair(primary, shadow, 0.002, 0.004, f"r{number}", inputs))
    return comparer.state


def test_numbers_agree_within_the_absolute_and_the_relative_tolerance() -> None:
    state = judged((numbers(0.0, 0.0, 100.0, 100.0), numbers(0.009, 0.011, 110.0, 110.1)))

    assert (state.rows, state.agreeing) == (4, 2)


def test_without_a_tolerance_only_the_same_agrees() -> None:
    state = judged((numbers(1.0, 2.0, 0.0), numbers(1.0, np.nextafter(2.0, 3.0), 5e-324)), tolerance=EXACT)

    assert (state.agreeing, state.columns["y"].identical) == (1, 1)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("primary", "shadow", "agrees"),
    [(NAN, NAN, True), (NAN, 1.0, False), (1.0, NAN, False), (INF, INF, True), (INF, 1.0, False), (1.0, -INF, False)],
)
def test_what_is_no_number_agrees_only_with_itself(primary: float, shadow: float, agrees: bool) -> None:
    assert judged((numbers(primary), numbers(shadow))).agreeing == agrees


def test_a_missing_number_is_told_from_a_different_one() -> None:
    column = judged((numbers(NAN, 1.0, 1.0), numbers(1.0, NAN, 1.0))).columns["y"]

    assert (column.only_primary_missing, column.only_shadow_missing) == (1, 1)


def test_the_difference_has_a_sign_a_mean_and_quantiles() -> None:
    column = judged((numbers(*[1.0] * 100), numbers(*[2.0] * 75, *[-3.0] * 25))).columns["y"]

    assert column.sum / column.numbers == pytest.approx(-0.25)
    assert column.sum_size / column.numbers == pytest.approx(1.75)
    assert column.difference.quantile(0.1) == pytest.approx(-4.0, rel=0.02)
    assert column.difference.quantile(0.9) == pytest.approx(1.0, rel=0.02)


def test_levels_are_compared_by_name_and_not_by_position() -> None:
    state = judged((rows_of([LABEL], (0,), (1,)), rows_of([SWAPPED], (1,), (0,))))

    assert state.agreeing == 2


def test_flips_say_from_what_to_what() -> None:
    state = judged((rows_of([LABEL], (0,), (0,), (1,), (-1,)), rows_of([TEXT], ("yes",), ("no",), ("no",), ("no",))))

    assert state.columns["label"].flips == {"no": {"yes": 1}, "yes": {"no": 1}, "missing": {"no": 1}}
    assert state.agreeing == 1


def test_endless_different_flips_take_bounded_room() -> None:
    texts = [(str(i),) for i in range(1000)]
    column = judged((rows_of([TEXT], *texts), rows_of([TEXT], *texts[1:], ("x",)))).columns["label"]

    assert sum(map(len, column.flips.values())) + column.more_flips == 1000
    assert len(column.flips) == 200


def test_columns_of_different_precision_are_compared_as_numbers() -> None:
    assert judged((numbers(0.1), numbers(0.1, column=SMALL))).agreeing == 1


@pytest.mark.parametrize(
    ("shadow", "why"),
    [
        (rows_of([LABEL], (0,)), "the shadow does not answer it"),
        (
            rows_of([Column(name="y", kind=Kind.STRING, datatype=BY_NAME["BYTES"])], ("1",)),
            "kinds differ: float and string",
        ),
        (
            rows_of([Column(name="y", kind=Kind.FLOAT, datatype=BY_NAME["FP64"], shape=(2,))], ([1.0, 2.0],)),
            "shapes differ: [] and [2] per row",
        ),
    ],
)
def test_a_column_that_cannot_be_compared_is_named_and_no_row_agrees(shadow: Rows, why: str) -> None:
    state = judged((numbers(1.0), shadow))

    assert (state.unmatched["y"], state.agreeing) == (why, 0)


def test_a_column_that_only_the_shadow_has_does_not_stand_against_it() -> None:
    state = judged((numbers(1.0), rows_of([NUMBER, LABEL], (1.0, 0))))

    assert (state.agreeing, state.unmatched) == (1, {"label": "only the shadow answers it"})


def test_a_row_of_many_values_agrees_when_all_do() -> None:
    three = Column(name="p", kind=Kind.FLOAT, datatype=BY_NAME["FP64"], shape=(3,))
    primary = rows_of([three], ([1.0, 2.0, 3.0],), ([1.0, 2.0, 3.0],))
    shadow = rows_of([three], ([1.0, 2.0, 3.0],), ([1.0, 2.0, 9.0],))

    assert judged((primary, shadow)).agreeing == 1


def test_another_number_of_rows_is_a_failure_of_the_shadow() -> None:
    state = judged((numbers(1.0, 2.0), numbers(1.0)))

    assert (state.requests, state.only_shadow_failed) == (0, 1)


def test_the_worst_rows_are_kept_the_worst_first() -> None:
    pairs = [(numbers(0.0, 0.0), numbers(0.0, float(i))) for i in range(300)]
    state = judged(*pairs, worst=3)

    assert [(row.request_id, row.row, row.shadow) for row in state.worst] == [
        ("r299", 1, {"y": 299.0}),
        ("r298", 1, {"y": 298.0}),
        ("r297", 1, {"y": 297.0}),
    ]


def test_a_flip_is_worse_than_any_distance() -> None:
    primary = rows_of([NUMBER, LABEL], (0.0, 0), (0.0, 0))
    shadow = rows_of([NUMBER, LABEL], (1e9, 0), (0.0, 1))

    assert [row.row for row in judged((primary, shadow)).worst] == [1, 0]


def test_inputs_are_kept_only_when_they_are_given() -> None:
    given = rows_of([Column(name="x", kind=Kind.FLOAT, datatype=BY_NAME["FP64"])], (7.0,))

    assert judged((numbers(0.0), numbers(9.0))).worst[0].inputs is None
    assert judged((numbers(0.0), numbers(9.0)), inputs=given).worst[0].inputs == {"x": 7.0}


def test_failures_are_told_by_who_failed() -> None:
    comparer = Comparer("blue", "next", LOOSE, 5)
    comparer.failed(primary=True, shadow=False)
    comparer.failed(primary=False, shadow=True)
    comparer.failed(primary=False, shadow=True)
    comparer.failed(primary=True, shadow=True)
    state = comparer.state

    assert (state.only_primary_failed, state.only_shadow_failed, state.both_failed) == (1, 2, 1)


def test_the_latencies_and_their_difference_are_known() -> None:
    state = judged(*[(numbers(1.0), numbers(1.0))] * 10)

    assert state.primary_s.quantile(0.5) == pytest.approx(0.002, rel=0.02)
    assert state.slower_s.quantile(0.5) == pytest.approx(0.002, rel=0.02)


def as_json(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def test_what_two_processes_saw_is_what_one_would_have_seen() -> None:
    pairs = [(rows_of([NUMBER, LABEL], (1.0, 0)), rows_of([NUMBER, LABEL], (1.0 + i, i % 2))) for i in range(40)]
    one, other, whole = judged(*pairs[:15]), judged(*pairs[15:]), judged(*pairs)
    for row in (*one.worst, *other.worst, *whole.worst):
        row.request_id = ""
    read = msgspec.json.decode(msgspec.json.encode(other), type=Comparison)
    one.merge(read, 5)

    assert as_json(one) == as_json(whole)
