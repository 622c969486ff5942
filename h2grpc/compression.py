"""
The algorithms of gRPC for single messages: identity, gzip, deflate (which is zlib's format here).

Decompression stops at a limit, so that a few bytes from a peer cannot become all of our memory.
"""

from __future__ import annotations

import gzip
import zlib
from typing import Final

from h2grpc.errors import BadCompression, MessageTooLarge, UnknownCompression

__all__ = ["ACCEPTED", "ALGORITHMS", "compress", "decompress"]

ALGORITHMS: Final = ("identity", "deflate", "gzip")

ACCEPTED: Final = ",".join(ALGORITHMS).encode()
"""The value of ``grpc-accept-encoding``."""

# Speed: a message is compressed while its caller waits.
_LEVEL: Final = 1
_GZIP: Final = 16 + zlib.MAX_WBITS


def compress(algorithm: str, message: bytes) -> bytes:
    if algorithm == "gzip":
        return gzip.compress(message, _LEVEL, mtime=0)
    if algorithm == "deflate":
        return zlib.compress(message, _LEVEL)
    if algorithm == "identity":
        return message
    raise UnknownCompression(f"the algorithm {algorithm!r} is not known")


def decompress(algorithm: str, data: bytes, limit: int) -> bytes:
    """For a message whose flag says compressed; identity is therefore an error of the peer."""
    if algorithm == "identity":
        raise BadCompression("a message is compressed on a stream that names no algorithm")
    if algorithm not in ALGORITHMS:
        raise UnknownCompression(f"the algorithm {algorithm!r} is not known")
    engine = zlib.decompressobj(_GZIP if algorithm == "gzip" else zlib.MAX_WBITS)
    try:
        message = engine.decompress(data, limit + 1)
    except zlib.error as error:
        raise BadCompression(f"a message is no {algorithm} data") from error
    if len(message) > limit:
        raise MessageTooLarge(f"a message of more than {limit} bytes when decompressed")
    if not engine.eof:
        raise BadCompression(f"a message of {algorithm} data is cut short")
    if engine.unused_data:
        raise BadCompression(f"a message goes on after its {algorithm} data")
    return message
