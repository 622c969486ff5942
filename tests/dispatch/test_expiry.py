from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from gateway.dispatch.expiry import SLACK, Expiry


@dataclass(eq=False)
class Item:
    deadline: float


@given(st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=40), st.lists(st.floats(0, 4), max_size=10))
def test_everybody_is_due_once_never_early_and_late_by_a_millisecond_at_most(
    arrivals: list[tuple[float, bool]], moments: list[float]
) -> None:
    table: Expiry[Item] = Expiry()
    waiting = []
    for deadline, stays in arrivals:
        table.add(each := Item(deadline))
        if stays:
            waiting.append(each)
        else:
            table.discard(each)
    for now in sorted(moments):
        due = table.due(now)

        assert all(each.deadline <= now for each in due)
        assert len(set(due)) == len(due)

        waiting = [each for each in waiting if each not in due]

        assert all(each.deadline > now - 0.0011 for each in waiting)
        assert len(table) == len(waiting)

    assert set(table.clear()) == set(waiting)


@given(st.lists(st.floats(0, 3), min_size=1, max_size=20))
def test_the_next_moment_is_never_too_late(deadlines: list[float]) -> None:
    table: Expiry[Item] = Expiry()
    for deadline in deadlines:
        table.add(Item(deadline))

    assert table.next_at is not None
    assert table.next_at <= min(deadlines) + 0.0011


def test_far_deadlines_that_were_kept_leave_nothing_behind() -> None:
    table: Expiry[Item] = Expiry()
    for i in range(3 * SLACK):
        table.add(each := Item(1e6 + i))
        table.discard(each)

    assert len(table._order) <= SLACK + 1
