"""HTTP/2 frames by hand, for peers that do not keep to the rules."""

from __future__ import annotations

import ngh2

__all__ = ["CONTINUATION", "DATA", "END_HEADERS", "GREETING", "HEADERS", "PING", "PRIORITY", "RST", "SETTINGS"]
__all__ += ["UPDATE", "frame", "request_block"]

DATA, HEADERS, PRIORITY, RST, SETTINGS, PING, UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 8, 9
ACK = END_STREAM = 1
END_HEADERS = 4


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + payload


GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0)


def request_block() -> bytes:
    """The header block of one call, as the first of a connection."""
    client = ngh2.Connection(ngh2.Role.CLIENT)
    client.initiate_connection()
    client.data_to_send()
    names = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/t.Echo/wait"), (b":authority", b"x")]
    client.send_request([*names, (b"content-type", b"application/grpc"), (b"te", b"trailers")])
    return client.data_to_send()[9:]
