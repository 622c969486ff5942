"""
What the headers say that a call begins with, and how little of them has to be read where calls repeat each other.

From one call of a connection to the next nearly nothing changes but the deadline and perhaps the id of a trace. So a
connection keeps what its last good call said, and reads only those headers that are not equal, byte for byte. It keeps
one, and shares it with no other connection: credentials are among the values, as they are among what HPACK keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, compress
from operator import ne
from typing import Any, Final, TypeAlias

from h2grpc import metadata, timeout
from h2grpc.compression import ALGORITHMS
from h2grpc.errors import UnknownCompression, WireError
from h2grpc.metadata import PER_ENTRY, Metadata

__all__ = ["NONE", "Headers", "Opening"]

Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]

_DEADLINE: Final = -2
"""A place like those of ``metadata.places``."""


class Opening:
    """Of a call as gRPC has it; nothing of it changes once it was read, but for what is made of it."""

    __slots__ = ("_places", "accepts", "encoding", "headers", "made", "metadata", "path", "timeout")

    def __init__(
        self,
        headers: Headers,
        path: bytes,
        pairs: Metadata,
        *,
        seconds: float | None = None,
        encoding: str = "identity",
        accepts: bytes = b"",
        places: Sequence[int] | None = None,
    ) -> None:
        self.headers, self.path, self.metadata = headers, path, pairs
        self.timeout = seconds
        """Seconds that the caller waits; None for as long as it takes."""
        self.encoding = encoding
        """What the caller compresses with."""
        self.accepts = accepts
        """What it can decompress, as it said."""
        self.made: Any = None
        """See ``ServicerContext.remembered``. Handed on as long as path and metadata are the same."""
        self._places = places

    @classmethod
    def read(cls, headers: Headers, fields: dict[bytes, bytes], limit: int) -> Opening:
        """The whole of it; ``fields`` are the same headers by name. ``WireError`` if something is wrong."""
        seconds = None if (value := fields.get(b"grpc-timeout")) is None else timeout.decode(value)
        encoding = fields.get(b"grpc-encoding", b"identity").decode("latin-1")
        if encoding not in ALGORITHMS:
            raise UnknownCompression(f"the algorithm {encoding!r} is not known")
        pairs = metadata.decode(headers, limit)
        accepts = fields.get(b"grpc-accept-encoding", b"")
        return cls(headers, fields[b":path"], pairs, seconds=seconds, encoding=encoding, accepts=accepts)

    def followed_by(self, headers: Headers, limit: int) -> Opening | None:
        """
        What ``read`` would say, if only deadline and text of the caller's own differ from before.

        None if that is not so, or if something may be wrong.
        """
        before = self.headers
        if len(headers) != len(before) or _size(headers) > limit:
            return None
        places = _places(before) if self._places is None else self._places
        pairs, seconds = self.metadata, self.timeout
        texts: list[tuple[int, str]] = []
        for at in compress(range(len(before)), map(ne, headers, before)):
            name, value = headers[at]
            place = places[at]
            if name != before[at][0]:
                return None
            if place >= 0:
                texts.append((place, value.decode("latin-1")))
            elif place == _DEADLINE:
                try:
                    seconds = timeout.decode(value)
                except WireError:
                    return None
            else:
                return None
        if texts:
            changed = list(pairs)
            for place, text in texts:
                changed[place] = (pairs[place][0], text)
            pairs = tuple(changed)
        following = Opening(
            headers,
            self.path,
            pairs,
            seconds=seconds,
            encoding=self.encoding,
            accepts=self.accepts,
            places=places,
        )
        if not texts:
            following.made = self.made
        return following


def _places(headers: Headers) -> list[int]:
    """Where the text of each header went; another header than those is not followed."""
    found = metadata.places(headers)
    names = [name for name, _ in headers]
    if b"grpc-timeout" in names:
        found[len(names) - 1 - names[::-1].index(b"grpc-timeout")] = _DEADLINE  # of several the last is heard
    return found


def _size(headers: Headers) -> int:
    """At least what the caller's own among them count."""
    return sum(map(len, chain.from_iterable(headers))) + PER_ENTRY * len(headers)


NONE: Final = Opening((), b"", ())
"""No headers are equal to its."""
