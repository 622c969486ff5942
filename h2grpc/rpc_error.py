"""How a call that failed is told to its caller."""

from __future__ import annotations

from typing import Final

from h2grpc.metadata import Metadata
from h2grpc.status import Status

__all__ = ["EOF", "EndOfStream", "RpcError"]


class RpcError(Exception):
    """
    A call ended with another status than OK. It has the methods of ``grpc.aio.AioRpcError`` but is none.

    ``code()`` is a ``Status``: compare it with that, or by ``code().name``, which is the same as grpcio's.
    """

    def __init__(self, code: Status, details: str, initial: Metadata = (), trailing: Metadata = ()) -> None:
        super().__init__(code, details)
        self._code, self._details, self._initial, self._trailing = code, details, initial, trailing

    def code(self) -> Status:
        return self._code

    def details(self) -> str:
        return self._details

    def initial_metadata(self) -> Metadata:
        return self._initial

    def trailing_metadata(self) -> Metadata:
        return self._trailing

    def debug_error_string(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return f"{self._code.name}: {self._details}"

    def __reduce__(self) -> tuple[type[RpcError], tuple[Status, str, Metadata, Metadata]]:
        return RpcError, (self._code, self._details, self._initial, self._trailing)


class EndOfStream:
    """What ``read()`` returns when the other side will send nothing more; false, as grpcio's is."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "<h2grpc.EOF>"


EOF: Final = EndOfStream()
