from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.rows import Rows
from gateway.dispatch.window import Window
from tests.support.held_scorer import LAYOUT, OTHER_LAYOUT, rows_of


@dataclass(eq=False)
class Item:
    rows: Rows
    name: str = ""


def item(count: int, name: str = "", other: bool = False) -> Item:
    return Item(rows_of(*range(count), layout=OTHER_LAYOUT if other else LAYOUT), name)


def window(*items: Item) -> Window[Item]:
    filled: Window[Item] = Window()
    for each in items:
        filled.put(each)
    return filled


def test_a_batch_holds_as_many_rows_as_fit_in_order() -> None:
    a, b, c = item(2), item(1), item(1)

    assert window(a, b, c).take(3) == [a, b]


def test_a_small_item_does_not_overtake_a_large_one() -> None:
    a, b, c = item(2), item(2), item(1)

    assert window(a, b, c).take(3) == [a]


def test_the_oldest_leaves_even_when_it_is_larger_than_the_limit() -> None:
    a, b = item(9), item(1)

    assert window(a, b).take(3) == [a]


def test_only_items_of_one_layout_share_a_batch() -> None:
    a, b, c = item(1), item(1, other=True), item(1)

    assert window(a, b, c).take(9) == [a, c]


def test_the_oldest_decides_which_layout_goes_first() -> None:
    a, b, c = item(1), item(1, other=True), item(1)
    w = window(a, b, c)
    w.take(1)

    assert w.take(9) == [b]


def test_what_was_removed_does_not_leave() -> None:
    a, b = item(1), item(1)
    w = window(a, b)
    was_there = w.remove(a)

    assert (was_there, w.remove(a), w.take(9)) == (True, False, [b])


def test_a_request_without_rows_is_not_forgotten() -> None:
    empty = item(0)
    w = window(empty)

    assert (w.rows, bool(w), w.take(9)) == (1, True, [empty])


def test_clearing_gives_everything_in_order_of_arrival() -> None:
    items = [item(1), item(1, other=True), item(1)]
    w = window(*items)

    assert (w.clear(), w.rows, bool(w)) == (items, 0, False)


def test_layouts_that_nobody_waits_with_are_forgotten() -> None:
    w: Window[Item] = Window()
    for i in range(10):
        w.put(item(1, other=i % 2 == 1))
        w.take(9)
    w.put(item(1))
    w.put(last := item(1, other=True))
    w.remove(last)
    w.take(9)

    assert len(w._lanes) == 1


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 5), st.booleans()),
        st.tuples(st.just("take"), st.integers(1, 8), st.booleans()),
        st.tuples(st.just("remove"), st.integers(0, 30), st.booleans()),
    ),
    max_size=60,
)


@given(OPERATIONS)
def test_nothing_is_lost_or_doubled_and_the_oldest_always_leaves_first(
    operations: list[tuple[str, int, bool]],
) -> None:
    w: Window[Item] = Window()
    waiting: list[Item] = []
    for what, number, flag in operations:
        if what == "put":
            waiting.append(item(number, other=flag))
            w.put(waiting[-1])
        elif what == "remove" and number < len(waiting):
            assert w.remove(waiting.pop(number))
        elif what == "take":
            batch = w.take(number)

            assert batch[:1] == waiting[:1]
            assert len({id(each.rows.layout) for each in batch}) <= 1
            assert len(batch) <= 1 or sum(each.rows.count for each in batch) <= number

            waiting = [each for each in waiting if each not in batch]

        assert w.rows == sum(each.rows.count or 1 for each in waiting)
        assert (len(w), bool(w)) == (len(waiting), bool(waiting))

    assert w.clear() == waiting
