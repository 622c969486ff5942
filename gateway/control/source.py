"""
Where the desired state comes from, and where changes to it are written: a folder of files, or a Redis that is shared.

Every change is made on a known version and refused when somebody else was faster, so that nobody overwrites what they
have not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.control.document import Document, Entry
from gateway.core.errors import GatewayError

__all__ = ["Conflict", "ReadOnly", "Source", "SourceUnavailable"]


class Conflict(GatewayError):
    """The state is not the one that the change was meant for."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(f"expected version {expected}, but version {found} is there now")
        self.found = found


class ReadOnly(GatewayError):
    """The source cannot be written through this API: its owner changes it in another way."""


class SourceUnavailable(GatewayError):
    """The source does not answer; what runs goes on."""

    retryable = True


class Source(Protocol):
    """One per supervisor. Every call is bounded in time by the source itself."""

    @property
    def read_only(self) -> str:
        """Why ``write`` will refuse; empty where it will not."""

    async def read(self) -> Document:
        """
        The newest as it is now, for who follows and who changes it. Raises ``ConfigError`` for what cannot be a
        document, ``SourceUnavailable``.
        """

    async def settled(self) -> Document:
        """
        The same for who only asks: never what whoever follows would still wait for, such as a file that is just being
        written. It may wait a second for that to be taken up.
        """

    async def write(self, document: Document, expected: int) -> Document:
        """
        Make ``document`` the newest, if ``expected`` is; its version and time are set here, and the digests of models
        that it does not name. Returns what was written.

        Raises ``Conflict``, ``ReadOnly``, ``SourceUnavailable``, and ``ConfigError`` for what could not be served.
        After ``SourceUnavailable`` it may have been written all the same, whole.
        """

    async def changed(self) -> None:
        """
        Return when there may be something that whoever calls this has not read; for one caller, who follows.

        It never misses anything, also when others read and write in between; it may return when ``read`` still gives
        the same version, because files of models have changed, say. Never raises but when cancelled.
        """

    async def history(self) -> Sequence[Entry]:
        """Newest first, as far as it is kept. Raises ``SourceUnavailable``."""

    async def past(self, version: int) -> Document:
        """Raises ``NotFound`` for a version that is not kept any more, ``SourceUnavailable``."""

    async def close(self) -> None:
        """Free what it holds."""
