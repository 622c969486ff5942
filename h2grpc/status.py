"""
gRPC's seventeen outcomes, and how failures of the layers below become one of them.

The two tables are those of gRPC's specification (``http-grpc-status-mapping.md`` and ``PROTOCOL-HTTP2.md``). They are
for an answer without a ``grpc-status`` of its own: from a proxy, from a server that is no gRPC server, or cut short.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Final

__all__ = ["Status", "from_http", "from_reset", "percent_decode", "percent_encode", "status_of"]


class Status(IntEnum):
    """The names and numbers of ``grpc.StatusCode``, whose ``value`` is a pair, without needing grpcio."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


FROM_HTTP: Final = {
    400: Status.INTERNAL,
    401: Status.UNAUTHENTICATED,
    403: Status.PERMISSION_DENIED,
    404: Status.UNIMPLEMENTED,
    429: Status.UNAVAILABLE,
    502: Status.UNAVAILABLE,
    503: Status.UNAVAILABLE,
    504: Status.UNAVAILABLE,
}

FROM_RESET: Final = {
    0x0: Status.INTERNAL,  # NO_ERROR: an end without a status is none
    0x1: Status.INTERNAL,  # PROTOCOL_ERROR
    0x2: Status.INTERNAL,  # INTERNAL_ERROR
    0x3: Status.INTERNAL,  # FLOW_CONTROL_ERROR
    0x4: Status.INTERNAL,  # SETTINGS_TIMEOUT
    0x6: Status.INTERNAL,  # FRAME_SIZE_ERROR
    0x7: Status.UNAVAILABLE,  # REFUSED_STREAM: nothing was done with it, so it may be tried again
    0x8: Status.CANCELLED,  # CANCEL
    0x9: Status.INTERNAL,  # COMPRESSION_ERROR
    0xA: Status.INTERNAL,  # CONNECT_ERROR
    0xB: Status.RESOURCE_EXHAUSTED,  # ENHANCE_YOUR_CALM
    0xC: Status.PERMISSION_DENIED,  # INADEQUATE_SECURITY
}

_BY_NUMBER: Final = {int(status): status for status in Status}
_TO_ENCODE: Final = re.compile(rb"[^\x20-\x24\x26-\x7e]")
_ENCODED: Final = re.compile(rb"%([0-9a-fA-F]{2})")


def from_http(status: int) -> Status:
    """For an answer over HTTP that is no gRPC answer."""
    return FROM_HTTP.get(status, Status.UNKNOWN)


def from_reset(error_code: int) -> Status:
    """For a stream ended by RST_STREAM, or by a GOAWAY that names an error."""
    return FROM_RESET.get(error_code, Status.UNKNOWN)


def status_of(code: object) -> Status:
    """What a servicer or a peer named: our own, a number, or ``grpc.StatusCode``. An unknown number is UNKNOWN."""
    if type(code) is Status:
        return code
    number = code
    if not isinstance(code, int):
        value = getattr(code, "value", None)
        number = value[0] if isinstance(value, tuple) and value else value
    if not isinstance(number, int) or isinstance(number, bool):
        raise TypeError(f"not a status: {code!r}")
    return _BY_NUMBER.get(number, Status.UNKNOWN)


def percent_encode(message: str) -> bytes:
    """A ``grpc-message``: UTF-8 with everything but printable ASCII, and the percent sign, written as %XX."""
    raw = message.encode("utf-8", "replace")
    return _TO_ENCODE.sub(lambda found: b"%%%02X" % found[0][0], raw)


def percent_decode(value: bytes) -> str:
    """Never fails: a message that was encoded badly says more than none."""
    if b"%" in value:
        value = _ENCODED.sub(lambda found: bytes.fromhex(found[1].decode("ascii")), value)
    return value.decode("utf-8", "replace")
