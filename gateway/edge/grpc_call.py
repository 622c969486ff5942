"""
The part of a gRPC call that our handlers need.

``grpc.aio.ServicerContext`` has it; so can any other engine that runs the same handlers. What h2grpc's has beyond it
(``remembered``, ``set_trailing_headers``) is used where it is there, and makes no difference but time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NoReturn, Protocol

from grpc import StatusCode

__all__ = ["GrpcCall"]


class GrpcCall(Protocol):
    """One call, seen from its handler. A handler is cancelled when its caller leaves or its deadline passes."""

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]] | None:
        """What the caller sent beside the message; keys in lower case."""
        ...

    def time_remaining(self) -> float | None:
        """Seconds until the caller stops waiting; None when it did not say."""
        ...

    def peer(self) -> str:
        """Address of the caller, such as ``ipv4:10.0.0.7:51234``."""
        ...

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """What TLS knows of the caller, in gRPC's words: ``x509_common_name`` and so on."""
        ...

    def set_trailing_metadata(self, trailing_metadata: Sequence[tuple[str, str]]) -> None:
        """Sent after the answer, and after ``abort`` too."""
        ...

    async def abort(self, code: StatusCode, details: str) -> NoReturn:
        """End the call with an error by raising."""
        ...
