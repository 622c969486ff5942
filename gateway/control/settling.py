"""
Who only asks what there is, while it is changing, waits until somebody has taken it up; but not for long.

So they need not take up anything themselves, before it has settled, and still find what they have just written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

__all__ = ["Settling"]

T = TypeVar("T")


class Settling:
    """
    ``patience`` is in seconds from the first ask on that found it changing: what goes on changing, such as a model that
    is being unpacked for minutes, holds nobody up for longer. For one event loop.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._since: float | None = None
        """When it was first found to be changing, since it was last found as it had been taken up."""
        self._taken_up = asyncio.Event()

    def is_over(self) -> None:
        """Somebody has taken up what there is: whoever waits looks again."""
        taken_up, self._taken_up, self._since = self._taken_up, asyncio.Event(), None
        taken_up.set()

    async def settled(self, look: Callable[[], Awaitable[tuple[T, bool]]]) -> T:
        """
        What ``look`` gives, once that is all there is, or patience is over. ``look`` also tells whether it is, and may
        raise.
        """
        until: float | None = None
        while True:
            taken_up = self._taken_up  # from before the look, so that nothing is missed
            found, is_all = await look()
            if is_all:
                if taken_up is self._taken_up:
                    self._since = None  # what had changed was put back
                return found
            if until is None:
                if self._since is None:
                    self._since = asyncio.get_running_loop().time()
                until = self._since + self._patience
            try:
                async with asyncio.timeout_at(until):
                    await taken_up.wait()
            except TimeoutError:
                return found
