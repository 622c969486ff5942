"""
Metadata: the caller's and the servicer's own headers, among those that belong to gRPC and HTTP/2.

A key that ends in ``-bin`` has bytes for a value, written as base64 on the wire; every other value is printable ASCII.
Keys are lower case. Keys of gRPC's own are neither shown nor accepted.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final, TypeAlias

from h2grpc.errors import BadMetadata, MetadataTooLarge

__all__ = ["LIMIT", "PER_ENTRY", "Metadata", "decode", "encode", "places"]

Metadata: TypeAlias = tuple[tuple[str, str | bytes], ...]

LIMIT: Final = 16 * 1024
"""What grpcio refuses by default, counted as HTTP/2 counts."""

PER_ENTRY: Final = 32
"""Bytes that HTTP/2 counts for a header beside its name and value."""

# Set by the engine or meant for it; everything else that begins with grpc- is kept for gRPC's future.
HIDDEN: Final = frozenset(
    (
        b"te",
        b"host",
        b"content-type",
        b"content-length",
        b"grpc-timeout",
        b"grpc-encoding",
        b"grpc-accept-encoding",
        b"grpc-status",
        b"grpc-message",
        b"grpc-message-type",
    )
)
REFUSED: Final = HIDDEN | {
    b"connection",
    b"keep-alive",
    b"proxy-connection",
    b"transfer-encoding",
    b"upgrade",
    b"user-agent",
}
FOR_APPLICATIONS: Final = frozenset(
    (b"grpc-status-details-bin", b"grpc-trace-bin", b"grpc-tags-bin", b"grpc-retry-pushback-ms")
)

_KEY: Final = re.compile(rb"[0-9a-z_.\-]+")
_VALUE: Final = re.compile(rb"[\x20-\x7e]*")
_PRINTABLE: Final = bytes(range(0x20, 0x7F))
_flat: Final = chain.from_iterable

_names: Final[dict[str, bytes]] = {}
"""Keys of text that were sent before, checked, as they go out: a program has few. No values, which may be secrets."""
_MOST_NAMES: Final = 256
_LONGEST_NAME: Final = 64


def decode(headers: Iterable[tuple[bytes, bytes]], limit: int = LIMIT) -> Metadata:
    """What the application may see of a header list; several binary values under one comma are several entries."""
    pairs: list[tuple[str, str | bytes]] = []
    size = 0
    for name, value in headers:
        if name in HIDDEN or name[:1] == b":":
            continue
        size += len(name) + len(value) + PER_ENTRY
        key = name.decode("latin-1")
        if name[-4:] == b"-bin":
            pairs += [(key, _from_base64(part)) for part in value.split(b",")]
        else:
            pairs.append((key, value.decode("latin-1")))
    if size > limit:
        raise MetadataTooLarge(f"{size} bytes of metadata; the limit is {limit}")
    return tuple(pairs)


def places(headers: Sequence[tuple[bytes, bytes]]) -> list[int]:
    """Where in what ``decode`` gives each header is; -1 for one that is hidden or binary."""
    found = []
    shown = 0
    for name, value in headers:
        if name in HIDDEN or name[:1] == b":":
            found.append(-1)
        elif name[-4:] == b"-bin":
            found.append(-1)
            shown += value.count(b",") + 1
        else:
            found.append(shown)
            shown += 1
    return found


def encode(pairs: Iterable[tuple[str, str | bytes]], limit: int = LIMIT) -> list[tuple[bytes, bytes]]:
    """A header list; ``BadMetadata`` names the key, never the value."""
    pairs = tuple(pairs)
    try:  # text under keys that are known to be good, which is nearly all there is
        headers = [(_names[key], value.strip(" ").encode()) for key, value in pairs]  # type: ignore[arg-type,union-attr]
    except (KeyError, TypeError, AttributeError, UnicodeEncodeError):
        return _encode(pairs, limit)
    wire = b"".join(_flat(headers))
    if wire.translate(None, _PRINTABLE) or len(wire) + PER_ENTRY * len(headers) > limit:
        return _encode(pairs, limit)
    return headers


def _encode(pairs: tuple[tuple[str, str | bytes], ...], limit: int) -> list[tuple[bytes, bytes]]:
    """The same with a look at everything."""
    headers = []
    size = 0
    for key, value in pairs:
        name = key.encode("latin-1", "replace")
        if _KEY.fullmatch(name) is None:
            raise BadMetadata(f"the metadata key {key!r} is not of a-z, 0-9, '_', '-' and '.'")
        if name in REFUSED or (name[:5] == b"grpc-" and name not in FOR_APPLICATIONS):
            raise BadMetadata(f"the metadata key {key!r} is reserved")
        raw = value.encode("utf-8") if isinstance(value, str) else bytes(value)
        if name[-4:] == b"-bin":
            raw = b64encode(raw).rstrip(b"=")
        elif _VALUE.fullmatch(raw) is None:
            raise BadMetadata(f"the value of the metadata key {key!r} is not printable ASCII; take a key with -bin")
        else:
            raw = raw.strip(b" ")  # HTTP/2 refuses what HTTP/1.1 ignored
            if len(_names) < _MOST_NAMES and len(key) <= _LONGEST_NAME:
                _names[key] = name
        headers.append((name, raw))
        size += len(name) + len(raw) + PER_ENTRY
    if size > limit:
        raise MetadataTooLarge(f"{size} bytes of metadata; the limit is {limit}")
    return headers


def _from_base64(value: bytes) -> bytes:
    value = value.strip(b" \t").rstrip(b"=")
    try:
        return b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except Base64Error as error:
        raise BadMetadata("binary metadata is no base64") from error
