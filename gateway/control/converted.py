"""
What the endpoints and views of the last document were made into, so that a change of one does not make all others anew.

In a gateway this is done while it serves: made anew, a hundred endpoints would hold up requests for milliseconds. And
what is the same object as before need not be looked at by anybody else either.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeVar

import msgspec

from gateway.control.convert import convert

__all__ = ["Converted"]

T = TypeVar("T")


class Converted:
    """
    ``convert`` with a memory: for data as JSON could say it, and classes that nobody changes. May be used by several
    threads; one that comes upon the work of another does it again at worst.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[type, str], tuple[bytes, Any]] = {}

    def convert(self, name: str, data: Any, kind: type[T]) -> T:
        """``data`` as a ``kind``, as ``convert`` would make it now. Raises ``WrongValue``."""
        # As text, because True, 1 and 1.0 are equal in Python, and are not in a configuration.
        try:
            written = msgspec.json.encode(data)
        except (TypeError, ValueError):  # no JSON, such as a path whose bytes are no text
            return convert(data, kind)
        known = self._known.get((kind, name))
        if known is not None and known[0] == written:
            made: T = known[1]
            return made
        made = convert(data, kind)
        if b".." not in written:  # what that makes of a path depends on what is a link at the moment
            self._known[kind, name] = written, made
        return made

    def keep(self, names: Collection[str], kind: type) -> None:
        """Forget what has another name."""
        for each in list(self._known):
            if each[0] is kind and each[1] not in names:
                self._known.pop(each, None)
