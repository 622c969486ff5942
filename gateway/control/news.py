"""
Whether somebody has come upon a version that the one who follows the source may not have read.

A source is read by several: who changes something reads first, and must not take the news away from who follows.
"""

from __future__ import annotations

from collections.abc import Hashable

from gateway.control.document import Document

__all__ = ["News"]


class News:
    """Tells too often rather than not: also of what the follower has come upon itself."""

    def __init__(self) -> None:
        self._last: Hashable = None
        self._is_news = False

    def of(self, document: Document) -> Document:
        """Somebody was given this one."""
        found = (document.entry.version, document.entry.at)
        self._is_news = self._is_news or (self._last is not None and found != self._last)
        self._last = found
        return document

    @property
    def is_there(self) -> bool:
        """Whether there is any that nobody has taken."""
        return self._is_news

    def taken(self) -> bool:
        """Whether there was any since this was called last."""
        was, self._is_news = self._is_news, False
        return was
