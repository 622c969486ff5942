"""The table of one call's states."""

from __future__ import annotations

import pytest

from h2grpc.call import Call
from h2grpc.call_state import MOVES, CallStateError, Move, State


def test_the_table_says_something_about_every_pair() -> None:
    assert [len(row) for row in MOVES] == [len(Move)] * len(State)


@pytest.mark.parametrize("state", list(State))
def test_a_reset_is_always_possible_and_final(state: State) -> None:
    assert MOVES[state][Move.RESET] is State.RESET
    assert [MOVES[State.RESET][move] for move in (Move.HEADERS, Move.MESSAGE, Move.END)] == [None] * 3


def test_messages_come_between_headers_and_the_end() -> None:
    call = Call()
    for move in (Move.HEADERS, Move.MESSAGE, Move.MESSAGE, Move.END):
        call.send(move)

    assert call.sending is State.DONE
    assert call.receiving is State.IDLE


@pytest.mark.parametrize(("first", "wrong"), [(Move.HEADERS, Move.HEADERS), (Move.END, Move.MESSAGE)])
def test_everything_else_is_an_error(first: Move, wrong: Move) -> None:
    call = Call()
    call.receive(first)

    with pytest.raises(CallStateError):
        call.receive(wrong)
