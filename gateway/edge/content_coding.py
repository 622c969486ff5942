"""
Takes content encodings off a body, with a limit on what comes out: a kilobyte can hold a gigabyte of zeros.

``deflate`` means the zlib format (RFC 9110 §8.4.1.2), but some clients send raw deflate; both are read. A gzip body may
consist of several members; they are read piece by piece and there is a limit on them, because each one that ends makes
zlib copy what is left of its piece: of a body of empty members that would be its size squared.
"""

from __future__ import annotations

import zlib

from gateway.core.errors import InvalidInput, TooLarge, UnsupportedMedia

__all__ = ["decoded"]

_GZIP = 16 + zlib.MAX_WBITS
_MAX_ENCODINGS = 2
_MAX_MEMBERS = 2048
"""As many as a body of the largest size has that was packed in blocks of 64 KiB, twice over."""
_PIECE = 64 * 1024


def decoded(body: bytes, content_encoding: str | None, limit: int) -> bytes:
    """The plain body. Raises ``UnsupportedMedia``, ``TooLarge`` beyond ``limit`` bytes, or ``InvalidInput``."""
    if not content_encoding:
        return body
    encodings = [name.strip().lower() for name in content_encoding.split(",")]
    if len(encodings) > _MAX_ENCODINGS:
        raise UnsupportedMedia(f"content-encoding: expected at most {_MAX_ENCODINGS}")
    for encoding in reversed(encodings):
        match encoding:
            case "identity" | "":
                continue
            case "gzip" | "x-gzip":
                body = _inflated(body, _GZIP, limit)
            case "deflate":
                # A zlib header is a multiple of 31 whose low nibble says 8; raw deflate has none.
                is_zlib = len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
                body = _inflated(body, zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS, limit)
            case _:
                raise UnsupportedMedia("content-encoding: expected gzip, deflate or identity")
    return body


def _inflated(body: bytes, window_bits: int, limit: int) -> bytes:
    parts: list[bytes] = []
    size = members = 0
    inflater = None
    for at in range(0, len(body), _PIECE):
        piece = body[at : at + _PIECE]
        while piece:
            if inflater is None:
                if members and window_bits != _GZIP:
                    return b"".join(parts)  # what follows a zlib stream is nobody's
                members += 1
                if members > _MAX_MEMBERS:
                    raise TooLarge(f"expected a body of at most {_MAX_MEMBERS} compressed members")
                inflater = zlib.decompressobj(window_bits)
            try:
                # One byte more than allowed is enough to know.
                part = inflater.decompress(piece, limit + 1 - size)
            except zlib.error as error:
                raise InvalidInput("the compressed body is damaged") from error
            size += len(part)
            if size > limit:
                raise TooLarge(f"expected at most {limit} bytes after decompression")
            parts.append(part)
            piece = inflater.unused_data
            if inflater.eof:
                inflater = None
    if inflater is not None:
        raise InvalidInput("the compressed body ends too early")
    return b"".join(parts)
