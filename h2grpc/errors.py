"""What a peer can do wrong inside one call, each with the status that gRPC gives it; the connection goes on."""

from __future__ import annotations

from typing import ClassVar

from h2grpc.status import Status

__all__ = [
    "BadCompression",
    "BadMessage",
    "BadMetadata",
    "BadTimeout",
    "MessageTooLarge",
    "MetadataTooLarge",
    "UnknownCompression",
    "WireError",
]


class WireError(Exception):
    """Base of them all; the text is safe to show."""

    status: ClassVar[Status] = Status.INTERNAL


class BadMessage(WireError):
    """The five bytes before a message are none, or the stream ended inside a message."""


class MessageTooLarge(WireError):
    """On the wire or after decompression."""

    status = Status.RESOURCE_EXHAUSTED


class BadCompression(WireError):
    """Data that cannot be decompressed, or is compressed without saying how."""


class UnknownCompression(WireError):
    """The peer used an algorithm that we did not offer."""

    status = Status.UNIMPLEMENTED


class BadTimeout(WireError):
    """A ``grpc-timeout`` that is none."""


class BadMetadata(WireError):
    """A key or value that cannot be sent, or binary metadata that is no base64."""


class MetadataTooLarge(BadMetadata):
    """More than the limit, counted as HTTP/2 counts: 32 bytes for each entry and its length."""

    status = Status.RESOURCE_EXHAUSTED
