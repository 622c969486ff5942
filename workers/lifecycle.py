"""
The states of one worker process, as a table, and the exit codes by which it tells its parent why it left.

::

    STARTING ──► READY ◄──► RESTING
                   │           │
                   └─► DRAINING ◄┘ ──► gone

Only READY invites batches. RESTING and DRAINING still finish what was accepted: a state is an announcement to the
gateways, not a refusal, because batches that are already on their way must not be lost. DRAINING is final.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, IntEnum
from threading import Lock

from workers.restart import LOAD_FAILED, OVERRUN, RECYCLE

__all__ = ["Exit", "Lifecycle", "State"]


class Exit(IntEnum):
    """Exit codes of a worker process; anything else, or a signal, is a crash."""

    DRAINED = 0
    """Left because it was asked to (SIGTERM, Drain): nobody should start it again."""
    RECYCLE = RECYCLE
    """Left over its memory limit: start it again at once, without back-off."""
    OVERRUN = OVERRUN
    """Ended with a batch that was over its time: start it again at once, without back-off."""
    LOAD_FAILED = LOAD_FAILED
    """The model cannot be served; the ``failed`` event says why. Trying again soon will not help."""
    SERVE_FAILED = 69
    """The address cannot be listened on; the ``failed`` event says why (EX_UNAVAILABLE of sysexits.h)."""


class State(Enum):
    """What a worker announces of itself."""

    STARTING = "starting"
    READY = "ready"
    RESTING = "resting"
    DRAINING = "draining"


_MOVES: dict[State, frozenset[State]] = {
    State.STARTING: frozenset({State.READY, State.DRAINING}),
    State.READY: frozenset({State.RESTING, State.DRAINING}),
    State.RESTING: frozenset({State.READY, State.DRAINING}),
    State.DRAINING: frozenset(),
}


class Lifecycle:
    """
    Holds the state of one worker. Moves come from any thread (the model's, the server's, a signal handler's thread);
    ``announce`` is called with each new state, outside the lock, and must not block.
    """

    def __init__(self, announce: Callable[[State], None]) -> None:
        self._announce = announce
        self._lock = Lock()
        self._state = State.STARTING

    @property
    def state(self) -> State:
        return self._state

    def move(self, to: State) -> bool:
        """Go to ``to`` and announce it; False, and no announcement, where the table forbids that move."""
        with self._lock:
            if to not in _MOVES[self._state]:
                return False
            self._state = to
        self._announce(to)
        return True
