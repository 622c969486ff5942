"""
The states of one call, as a table.

A call is two directions that do not wait for each other, and each of them goes the same way: headers, messages, an
end. What the end is differs by role (a server's is the status, a client's is the half-close); the way does not. gRPC
allows the end at once, which is its Trailers-Only answer. A reset ends both directions.

::

    IDLE ──headers──► OPEN ──end──► DONE
      │                └─┐message      ▲
      └──────end─────────┴─────────────┘        any ──reset──► RESET
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

__all__ = ["DONE", "IDLE", "MOVES", "OPEN", "RESET", "CallStateError", "Move", "State"]


class State(IntEnum):
    IDLE = 0
    OPEN = 1
    DONE = 2
    RESET = 3


IDLE: Final = State.IDLE
OPEN: Final = State.OPEN
DONE: Final = State.DONE
RESET: Final = State.RESET
"""For what runs for each call: to look up a member of an enumeration costs Python 3.11 as much as a function call."""


class Move(IntEnum):
    HEADERS = 0
    MESSAGE = 1
    END = 2
    RESET = 3


class CallStateError(Exception):
    """Something was sent, or came, that this state does not allow."""


MOVES: Final[tuple[tuple[State | None, ...], ...]] = (
    # HEADERS      MESSAGE       END          RESET
    (State.OPEN, None, State.DONE, State.RESET),  # IDLE
    (None, State.OPEN, State.DONE, State.RESET),  # OPEN
    (None, None, None, State.RESET),  # DONE
    (None, None, None, State.RESET),  # RESET
)
"""``MOVES[state][move]`` is the next state; None where the move is not allowed."""
