"""
Whether somebody has come upon a version that the one who follows the source may not have read.

A source is read by several: who changes something reads first, and must not take the news away from who follows.
"""

from __future__ import annotations

from gateway.control.document import Document

__all__ = ["News"]


class News:
    """
    Tells too often rather than not: also of what the follower has come upon itself. One thread may come upon something
    while another one asks.
    """

    def __init__(self) -> None:
        self._last: object = None
        self._came = self._taken = 0

    def of(self, document: Document) -> Document:
        """Somebody was given this one."""
        self.of_state((document.entry.version, document.entry.at))
        return document

    def of_state(self, found: object) -> None:
        """Somebody has seen what is there to be like this; it need not be a document."""
        if self._last is not None and found != self._last:
            self._came += 1
        self._last = found

    @property
    def is_there(self) -> bool:
        """Whether there is any that nobody has taken."""
        return self._came != self._taken

    def taken(self) -> bool:
        """Whether there was any since this was called last."""
        came = self._came  # once: what comes from now on is left for the next time
        before, self._taken = self._taken, came
        return came != before
