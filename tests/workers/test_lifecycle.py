"""The states of a worker."""

from __future__ import annotations

import pytest

from workers.lifecycle import Exit, Lifecycle, State
from workers.restart import LOAD_FAILED, OVERRUN, RECYCLE


def test_every_move_is_announced_in_order() -> None:
    told: list[State] = []
    lifecycle = Lifecycle(told.append)
    for state in (State.READY, State.RESTING, State.READY, State.DRAINING):
        lifecycle.move(state)

    assert told == [State.READY, State.RESTING, State.READY, State.DRAINING]


@pytest.mark.parametrize("to", list(State))
def test_draining_is_final(to: State) -> None:
    told: list[State] = []
    lifecycle = Lifecycle(told.append)
    lifecycle.move(State.DRAINING)

    assert not lifecycle.move(to)
    assert (lifecycle.state, told) == (State.DRAINING, [State.DRAINING])


def test_a_move_that_is_not_in_the_table_changes_and_announces_nothing() -> None:
    told: list[State] = []
    lifecycle = Lifecycle(told.append)

    assert not lifecycle.move(State.RESTING)
    assert (lifecycle.state, told) == (State.STARTING, [])


def test_the_exit_codes_are_those_that_the_parent_acts_on() -> None:
    assert (Exit.RECYCLE, Exit.OVERRUN, Exit.LOAD_FAILED) == (RECYCLE, OVERRUN, LOAD_FAILED)
