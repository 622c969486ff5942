"""
When a file of secrets that is followed must be read again: when it is another one, and as long as it was refused.

What kept us from reading it may not be in it, as when a process has no file descriptor left, and then it looks no
different once it can be read: a revocation must not be missed for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Followed"]

T = TypeVar("T")


class Followed(Generic[T]):
    """``look`` tells two states of what is followed apart; it has been read once, as it looks now."""

    def __init__(self, look: Callable[[], T]) -> None:
        self._look = look
        self.seen = look()
        """What it looked like when it was read, or tried, last."""
        self._refusal = ""
        """Why what is there now could not be taken over."""
        self._told = ""

    def is_due(self) -> bool:
        """Whether it must be read now; then say what came of it."""
        found = self._look()
        if found != self.seen:
            self.seen, self._told = found, ""
            return True
        return bool(self._refusal)

    def taken(self) -> None:
        self._refusal = self._told = ""

    def refused(self, reason: str) -> bool:
        """Whether that is news."""
        is_news = reason != self._told
        self._refusal = self._told = reason
        return is_news
