"""A call as it comes to a server. What its handler sees of it is the same object: see ``ServicerContext``."""

from __future__ import annotations

from h2grpc.call import Call
from h2grpc.call_state import OPEN
from h2grpc.opening import NONE, Headers, Opening

__all__ = ["ServerCall"]


class ServerCall(Call):
    """Among the events of its connection it says that it has begun."""

    opening: Opening = NONE
    receiving = OPEN

    # What the headers say, looked up where it is asked for, which is seldom. Nobody sets it here.

    @property
    def path(self) -> bytes:  # type: ignore[override]
        return self.opening.path

    @property
    def headers(self) -> Headers:  # type: ignore[override]
        return self.opening.headers

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.opening.encoding
