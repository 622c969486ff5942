"""
RESP3, the protocol of Redis and Valkey, as bytes in and replies out: no sockets here.

Only what a client needs is understood: every type of reply, no streamed ones, which no server sends. Attributes are
read and dropped. An error is a value (``ReplyError``), because in a pipeline it belongs to one command and not to the
connection; what breaks the protocol itself is raised, and the connection is of no use afterwards.
"""

from __future__ import annotations

from typing import Any, TypeAlias

__all__ = ["Parser", "ProtocolError", "Push", "Reply", "ReplyError", "command"]

Reply: TypeAlias = Any
"""bytes, int, float, bool, None, a list, a dict, ``Push`` or ``ReplyError``."""

_MAX_LINE = 64 * 1024
_MAX_BULK = 512 * 2**20
_MAX_DEPTH = 16
_AGGREGATES = {b"*"[0]: 1, b"~"[0]: 1, b">"[0]: 1, b"%"[0]: 2, b"|"[0]: 2}
"""Type → elements per counted item."""
_PUSH, _MAP, _ATTRIBUTE = b">"[0], b"%"[0], b"|"[0]
_BULKS = frozenset(b"$=!")
_DOLLAR, _VERBATIM, _BULK_ERROR = b"$=!"


class ProtocolError(Exception):
    """The peer does not speak RESP."""


class ReplyError(Exception):
    """A command's error; ``code`` is its first word, such as WRONGTYPE or MOVED."""

    @property
    def code(self) -> str:
        return str(self).partition(" ")[0]


class Push(list[Any]):
    """What the server sends without being asked: kind first."""


def command(*words: bytes | str | int) -> bytes:
    """A command as the server reads it."""
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts])


class Parser:
    """Takes bytes as they come and gives whole replies; what is not whole is kept."""

    __slots__ = ("_rest", "_stack")

    def __init__(self) -> None:
        self._rest = b""
        self._stack: list[tuple[int, int, list[Reply]]] = []  # kind, elements wanted, elements so far

    def feed(self, data: bytes) -> list[Reply]:
        """Raises ``ProtocolError``."""
        buffer = self._rest + data if self._rest else data
        size, at = len(buffer), 0
        replies: list[Reply] = []
        stack = self._stack
        find = buffer.find
        try:
            while True:
                end = find(b"\r\n", at)
                if end < 0:
                    if size - at > _MAX_LINE:
                        raise ProtocolError("a line without end")
                    break
                kind = buffer[at]
                value: Reply
                if kind == _DOLLAR or kind in _BULKS:
                    length = int(buffer[at + 1 : end])
                    if length < 0:
                        value, at = None, end + 2
                    else:
                        start, stop = end + 2, end + 2 + length
                        if size < stop + 2:
                            if length > _MAX_BULK:
                                raise ProtocolError("a string without measure")
                            break
                        value = buffer[start:stop]
                        at = stop + 2
                        if kind != _DOLLAR:
                            value = value[4:] if kind == _VERBATIM else ReplyError(value.decode(errors="replace"))
                elif kind in _AGGREGATES:
                    count = int(buffer[at + 1 : end]) * _AGGREGATES[kind]
                    at = end + 2
                    if count > 0:
                        if len(stack) == _MAX_DEPTH:
                            raise ProtocolError("nested too deep")
                        stack.append((kind, count, []))
                        continue
                    if kind == _ATTRIBUTE:
                        continue
                    value = None if count < 0 else _whole(kind, [])
                else:
                    value, at = _line(kind, buffer[at + 1 : end]), end + 2
                while stack:
                    kind, count, items = stack[-1]
                    items.append(value)
                    if len(items) < count:
                        break
                    stack.pop()
                    if kind == _ATTRIBUTE:
                        break
                    value = _whole(kind, items)
                else:
                    replies.append(value)
        except ValueError:
            raise ProtocolError("not RESP") from None
        self._rest = buffer[at:]
        return replies


def _whole(kind: int, items: list[Reply]) -> Reply:
    if kind == _MAP:
        try:
            return dict(zip(items[::2], items[1::2], strict=True))
        except TypeError:
            raise ProtocolError("a map with a key that is none") from None
    return Push(items) if kind == _PUSH else items


def _line(kind: int, text: bytes) -> Reply:
    match chr(kind):
        case "+":
            return text
        case "-":
            return ReplyError(text.decode(errors="replace"))
        case ":" | "(":
            return int(text)
        case "_":
            return None
        case "#":
            return text == b"t"
        case ",":
            return float(text)
    raise ProtocolError("not RESP")
