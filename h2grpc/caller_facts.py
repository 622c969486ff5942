"""
What a handler can know of its caller: metadata, time left, address and certificate, as ``grpc.aio.ServicerContext`` has
them.

Nothing here changes the call. It is a part of the same object, and not one that a context refers to: asking takes no
call more, and most handlers ask once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

from h2grpc.metadata import Metadata
from h2grpc.server_call import ServerCall

if TYPE_CHECKING:
    from h2grpc.server_driver import ServerDriver

__all__ = ["CallerFacts"]

T = TypeVar("T")


class CallerFacts(ServerCall):
    """Of a call whose handler was started: ``driver`` is that of its connection."""

    driver: ServerDriver

    def invocation_metadata(self) -> Metadata:
        return self.opening.metadata

    def remembered(self, read: Callable[[Metadata], T]) -> T:
        """
        What ``read`` makes of the metadata and of nothing else; it is asked once while the calls of a connection repeat
        each other, and what it makes of one call's is let go of with the connection. grpc.aio has no such thing.
        """
        opening = self.opening
        if (made := opening.made) is None or made[0] is not read:
            opening.made = made = (read, read(opening.metadata))
        return made[1]  # type: ignore[no-any-return]

    def time_remaining(self) -> float | None:
        at = self.deadline
        return None if at is None else max(0.0, at - self.driver.clock())

    def peer(self) -> str:
        return self.driver.peer

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        return self.driver.auth_context

    def peer_identity_key(self) -> str | None:
        for key in ("x509_subject_alternative_name", "x509_common_name"):
            if key in self.driver.auth_context:
                return key
        return None

    def peer_identities(self) -> Iterable[bytes] | None:
        key = self.peer_identity_key()
        return None if key is None else self.driver.auth_context[key]
