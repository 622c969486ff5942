from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dispatch.expiry import Expiry
from gateway.dispatch.steps import SLACK, STEPS, Steps

LATE = 1.1 / STEPS
"""Seconds: a step, and what floats are off by."""


@dataclass(eq=False)
class Item:
    deadline: float


Table = Expiry[Item] | Steps[Item]

KINDS = pytest.mark.parametrize("kind", [Expiry, Steps])

STEP = st.one_of(
    st.tuples(st.just("add in turn"), st.floats(0, 0.02)),
    st.tuples(st.just("add nearly in turn"), st.floats(-0.0015, 0.0)),
    st.tuples(st.just("add anywhere"), st.floats(-3, 3)),
    st.tuples(st.just("leave"), st.floats(0, 1, exclude_max=True)),
    st.tuples(st.just("leave last"), st.just(0.0)),
    st.tuples(st.just("time"), st.floats(0, 0.5)),
)


@KINDS
@given(steps=st.lists(STEP, max_size=60))
def test_everybody_is_due_once_never_early_and_late_by_a_millisecond_at_most(
    kind: type[Table], steps: list[tuple[str, float]]
) -> None:
    table = kind()
    now, newest = 100.0, 101.0
    waiting: list[Item] = []
    for what, number in steps:
        if what.startswith("add"):
            item = Item(max(now, newest + number))
            newest = item.deadline if what == "add in turn" else newest
            waiting.append(item)
            table.add(item)
        elif what == "time":
            now += number
            due = table.due(now)

            assert all(each.deadline <= now for each in due)
            assert len({id(each) for each in due}) == len(due)
            assert {id(each) for each in due} <= {id(each) for each in waiting}

            waiting = [each for each in waiting if each not in due]

            assert all(each.deadline > now - LATE for each in waiting)
        elif waiting:
            table.discard(waiting.pop(-1 if what == "leave last" else int(number * len(waiting))))

        assert (len(table), bool(table)) == (len(waiting), bool(waiting))

        if waiting:
            assert table.next_at is not None
            assert table.next_at <= min(each.deadline for each in waiting) + LATE

    assert sorted(map(id, table.clear())) == sorted(map(id, waiting))
    assert not table


@KINDS
@given(deadlines=st.lists(st.floats(0, 3), min_size=1, max_size=20))
def test_the_next_moment_is_never_too_late(kind: type[Table], deadlines: list[float]) -> None:
    table = kind()
    for deadline in deadlines:
        table.add(Item(deadline))

    assert table.next_at is not None
    assert table.next_at <= min(deadlines) + LATE


@KINDS
def test_who_is_not_there_may_be_forgotten(kind: type[Table]) -> None:
    table = kind()
    table.add(Item(1.0))
    table.discard(Item(1.0))

    assert len(table) == 1


def test_many_are_forgotten_at_once_wherever_they_are() -> None:
    table: Expiry[Item] = Expiry()
    items = [Item(deadline) for deadline in (5.0, 1.0, 6.0)]  # the second comes out of turn
    for each in items:
        table.add(each)
    table.discard_all([*items[:2], Item(7.0)])

    assert table.clear() == items[2:]


def test_who_comes_in_turn_is_not_entered_in_the_table_even_after_a_far_deadline_has_left() -> None:
    table: Expiry[Item] = Expiry()
    table.add(far := Item(1000.0))
    table.discard(far)
    for deadline in (5.0, 5.0, 6.0):
        table.add(Item(deadline))

    assert len(table._apart) == 0


def test_far_deadlines_that_were_kept_leave_nothing_behind() -> None:
    table: Steps[Item] = Steps()
    for i in range(3 * SLACK):
        table.add(each := Item(1e6 + i))
        table.discard(each)

    assert len(table._order) <= SLACK + 1


def test_a_line_that_everybody_left_is_forgotten() -> None:
    table: Expiry[Item] = Expiry()
    for i in range(10):
        table.add(each := Item(float(i)))
        table.discard(each)

    assert not table._line


@given(steps=st.lists(STEP, max_size=60))
def test_whoever_relies_on_the_next_look_is_looked_at_in_time(steps: list[tuple[str, float]]) -> None:
    table: Expiry[Item] = Expiry()
    now, newest, look = 100.0, 101.0, float("inf")
    waiting: list[Item] = []
    for what, number in steps:
        if what.startswith("add"):
            waiting.append(Item(max(now, newest + number)))
            newest = waiting[-1].deadline if what == "add in turn" else newest
            is_too_late = table.add(waiting[-1])
        elif what == "time":
            now += number
            is_too_late = now >= look
            if is_too_late:
                due = table.due(now)
                waiting = [each for each in waiting if each not in due]
        else:
            is_too_late = False
            if waiting:
                table.discard(waiting.pop(-1 if what == "leave last" else int(number * len(waiting))))
        if is_too_late:  # as the alarm does
            at = table.next_at
            look = float("inf") if at is None else at
            table.look_at(float("inf"))
            table.look_at(look)

        assert all(look <= each.deadline + LATE for each in waiting)


def test_who_comes_in_turn_relies_on_the_look_for_those_before_him() -> None:
    table: Expiry[Item] = Expiry()
    table.add(Item(5.0))
    table.look_at(5.0)

    assert [table.add(Item(deadline)) for deadline in (5.0, 6.0, 4.0)] == [False, False, True]
