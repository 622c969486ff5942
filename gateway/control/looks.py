"""
Looks at something again and again, in a thread that wakes nobody while there is nothing to tell.

To have the event loop start and take in each look cost five times as much as the look itself, on the cores of those
who answer requests. The thread may hang with the disk that it looks at; who waits for it finds that out in time.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

__all__ = ["Alarm", "Looks"]


class Alarm(Protocol):
    """Wakes a thread from its pause, as ``threading.Event`` does."""

    def wait(self, timeout: float, /) -> bool:
        """Whether it was set."""

    def set(self) -> None: ...


class Looks:
    """
    ``look`` gives what there is, and whether that is anything new; it is called in the thread, and may raise.
    ``alarm`` makes the pause before each look.
    """

    def __init__(
        self, look: Callable[[], tuple[Any, bool]], *, alarm: Callable[[], Alarm] = threading.Event, limit: float
    ) -> None:
        self._look, self._new_alarm, self._limit = look, alarm, limit
        self._thread = ThreadPoolExecutor(1, "looks")
        self._made = 0
        self._alarm: Alarm | None = None
        """Of whoever looks at the moment."""

    async def until_new(self, pause: float, *, is_once: bool = False) -> bool:
        """
        Look until two looks in a row have seen the same that is new. No where it was woken before, or after one look.

        One caller at a time. Raises what ``look`` does, and ``TimeoutError`` when no look has ended for ``limit``
        seconds, or for twice as long at most.
        """
        alarm = self._alarm = self._new_alarm()
        looking = asyncio.get_running_loop().run_in_executor(self._thread, self._look_on, alarm, pause, is_once)
        made = -1
        try:
            while not looking.done():
                if made == self._made:
                    raise TimeoutError
                made = self._made
                await asyncio.wait([looking], timeout=self._limit)
            return looking.result()
        finally:
            alarm.set()
            looking.cancel()

    def wake(self) -> None:
        """There is something else to look into first."""
        if self._alarm is not None:
            self._alarm.set()

    def close(self) -> None:
        """Look no more."""
        self.wake()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _look_on(self, alarm: Alarm, pause: float, is_once: bool) -> bool:
        previous: Any = None
        while not alarm.wait(pause):
            found, is_new = self._look()
            self._made += 1
            if is_new and found == previous:
                return True
            if is_once:
                return False
            previous = found
        return False
