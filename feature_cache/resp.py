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
_ARRAY, _PUSH, _MAP, _ATTRIBUTE = b"*>%|"
_BULKS = frozenset(b"$=!")
_DOLLAR, _VERBATIM, _BULK_ERROR = b"$=!"
_HEADS = [b"$%d" % length for length in range(1024)]
"""The first line of a string of so many bytes."""


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
    """
    Takes bytes as they come and gives whole replies; what is not whole is kept.

    What came is split into lines in one go, because Python is quick at that and slow at looking for line ends one by
    one. A string that has line ends within is put together again by its length.
    """

    __slots__ = ("_rest", "_stack")

    def __init__(self) -> None:
        self._rest = b""
        self._stack: list[tuple[int, int, list[Reply]]] = []  # kind, elements wanted, elements so far

    def feed(self, data: bytes) -> list[Reply]:
        """Raises ``ProtocolError``."""
        lines = (self._rest + data if self._rest else data).split(b"\r\n")
        last, at = len(lines) - 1, 0  # the last line has no end yet
        replies: list[Reply] = []
        stack = self._stack
        try:
            while at < last:
                line = lines[at]
                kind = line[0]
                value: Reply
                if kind == _DOLLAR or kind in _BULKS:
                    length = int(line[1:])
                    if length < 0:
                        value, at = None, at + 1
                    else:
                        value = lines[at + 1]
                        if len(value) == length and at + 1 < last:
                            at += 2
                        else:
                            value, end = _string(lines, at + 1, length)
                            if value is None:
                                break
                            at = end
                        if kind != _DOLLAR:
                            value = value[4:] if kind == _VERBATIM else ReplyError(value.decode(errors="replace"))
                elif kind in _AGGREGATES:
                    count = int(line[1:]) * _AGGREGATES[kind]
                    at += 1
                    if count > 0:
                        end = at + 2 * count
                        if kind == _ARRAY and end <= last and (value := _strings(lines, at, end)) is not None:
                            at = end
                        elif len(stack) == _MAX_DEPTH:
                            raise ProtocolError("nested too deep")
                        else:
                            stack.append((kind, count, []))
                            continue
                    elif kind == _ATTRIBUTE:
                        continue
                    else:
                        value = None if count < 0 else _whole(kind, [])
                else:
                    value, at = _line(kind, line[1:]), at + 1
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
        except (ValueError, IndexError):
            raise ProtocolError("not RESP") from None
        if at == last and len(lines[last]) > _MAX_LINE:
            raise ProtocolError("a line without end")
        self._rest = lines[last] if at == last else b"\r\n".join(lines[at:])
        return replies


def _strings(lines: list[bytes], at: int, end: int) -> list[bytes] | None:
    """The array whose elements are on these lines, if all are short strings without line ends."""
    values = lines[at + 1 : end : 2]
    try:
        return values if lines[at:end:2] == [_HEADS[len(value)] for value in values] else None
    except IndexError:
        return None


def _string(lines: list[bytes], at: int, length: int) -> tuple[bytes | None, int]:
    """The string from this line on, which may have line ends within, and the line behind it; None: not all there."""
    if length > _MAX_BULK:
        raise ProtocolError("a string without measure")
    last, end, size = len(lines) - 1, at, len(lines[at])
    while size < length and end < last:
        end += 1
        size += 2 + len(lines[end])
    if end < last:
        if size != length:
            raise ProtocolError("a string of another length")
        return b"\r\n".join(lines[at : end + 1]), end + 1
    if size > length + 1:  # one more may be half a line end
        raise ProtocolError("a string of another length")
    return None, at


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
