from __future__ import annotations

from gateway.dispatch.gathering import QUIET_TURNS, Gathering


def turns(gathering: Gathering, *rows: int) -> list[bool]:
    return [gathering.goes_on(each) for each in rows]


def test_it_ends_when_several_turns_in_a_row_have_brought_nobody() -> None:
    assert turns(Gathering(), *[1] * (QUIET_TURNS + 1)) == [True] * QUIET_TURNS + [False]


def test_whoever_comes_makes_it_begin_again() -> None:
    gathering = Gathering()
    turns(gathering, *[1] * QUIET_TURNS)

    assert turns(gathering, 2, *[2] * QUIET_TURNS) == [True] * QUIET_TURNS + [False]


def test_one_batch_does_not_inherit_the_quiet_turns_of_the_one_before() -> None:
    gathering = Gathering()
    turns(gathering, *[9] * QUIET_TURNS)
    gathering.begin()

    assert gathering.goes_on(0)
