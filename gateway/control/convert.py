"""
Turns what was written, as plain mappings and lists, into a checked class, and names the key at which it went wrong.

msgspec leaves the keys of mappings out of its complaints (``...``); here they are found again.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

__all__ = ["WrongValue", "absolute", "convert"]

T = TypeVar("T")

_PLACE = re.compile(r"(.*) - at (?:`key` in )?`(\$[^`]*)`", re.DOTALL)
"""How msgspec ends a complaint."""
_KINDS = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "object": "a mapping",
    "array": "a list",
    "null": "nothing",
}
"""What the kinds of values are called, by msgspec and to people."""


class WrongValue(Exception):
    """``keys`` lead to what is wrong, as far as that is known; ``str()`` is what was expected there."""

    def __init__(self, keys: list[str], message: str) -> None:
        super().__init__(message)
        self.keys = keys

    @property
    def told(self) -> str:
        """The keys and what was expected, without saying a key twice."""
        told = str(self)
        keys = self.keys[:-1] if self.keys and re.match(rf"{re.escape(self.keys[-1])}[.:]", told) else self.keys
        between = "." if keys is not self.keys else ": "
        return f"{'.'.join(keys)}{between}{told}" if keys else told

    @property
    def blamed(self) -> list[str]:
        """The keys, and the one that the message itself names."""
        unknown = re.search(r"unknown field `([^`]+)`", str(self))
        own = re.match(r"(\w+): ", str(self))
        return [*self.keys, unknown.group(1)] if unknown else [*self.keys, own.group(1)] if own else self.keys


def absolute(base: Path, written: str) -> str:
    """
    ``written`` as taken from the folder ``base``, with symbolic links as they are.

    A link that is swapped then leaves the path as it was; ``..`` through a link is still what the system takes it for.
    Raises ``ValueError`` for what no path can hold.
    """
    whole = base / written
    plain = os.path.normpath(whole)
    if ".." not in whole.parts:  # then nothing depends on what is a link, and nobody has to look
        if b"\0" in os.fsencode(plain):
            raise ValueError("embedded null byte")
        return plain
    real = os.path.realpath(whole)
    return plain if os.path.realpath(plain) == real else real


def convert(data: Any, kind: type[T], base: Path | None = None) -> T:
    """
    ``data`` as a ``kind``; relative paths in it are taken from ``base``, and refused without one.

    Raises ``WrongValue``.
    """

    def decode(wanted: type, value: Any) -> Any:
        if wanted is Path:
            if not isinstance(value, str):
                raise ValueError(f"expected a path, got {value!r}")
            if base is None and not Path(value).is_absolute():
                raise ValueError(f"expected an absolute path, got {value!r}")
            return Path(absolute(base or Path("/"), value))
        if wanted is object:  # any value: the class itself checks it
            return value
        raise NotImplementedError(f"no reader for {wanted}")

    def attempt(value: Any) -> T:
        return msgspec.convert(value, kind, dec_hook=decode)

    try:
        return attempt({} if data is None else data)
    except msgspec.ValidationError as error:
        placed = _PLACE.fullmatch(str(error))
        message, where = placed.groups() if placed else (str(error), "")
        keys = _named_keys(data, re.findall(r"\w+|\.\.\.", where), attempt, str(error))
        raise WrongValue(keys, _KINDS.sub(_in_words, message)) from error


def _named_keys(data: Any, steps: list[str], attempt: Callable[[Any], object], complaint: str) -> list[str]:
    """
    The path of an error with the mapping keys that msgspec leaves out ("...") filled in.

    msgspec stops at the first key that is wrong: the one with which its mapping begins to bring the complaint. Looked
    for by halves, because a mapping may have thousands.
    """

    def brings_it(changed: Any) -> bool:
        try:
            attempt(changed)
        except msgspec.ValidationError as error:
            return str(error) == complaint
        return False

    for i, step in enumerate(steps):
        if step != "...":
            continue
        whole = _at(data, steps[:i])
        items = list(whole.items()) if isinstance(whole, dict) else []
        guilty = bisect_left(
            range(len(items)), True, key=lambda last: brings_it(_with(data, steps[:i], dict(items[: last + 1])))
        )
        if guilty == len(items):
            return steps[:i]
        steps = [*steps[:i], str(items[guilty][0]), *steps[i + 1 :]]
    return steps


def _in_words(found: re.Match[str]) -> str:
    """What was expected and what is there, for who has never heard of these kinds."""
    expected = [_WORDS.get(kind, f"`{kind}`") for kind in found[1].split(" | ")]
    there = "a decimal number" if found[2] == "float" else _WORDS.get(found[2], f"`{found[2]}`")
    return f"expected {' or '.join(expected)}, got {there}"


def _at(data: Any, keys: list[str]) -> Any:
    for key in keys:
        data = data[int(key)] if isinstance(data, list) else data[key]
    return data


def _with(data: Any, keys: list[str], value: Any) -> Any:
    """A copy of ``data`` with the value at ``keys`` replaced."""
    if not keys:
        return value
    if isinstance(data, list):
        return [_with(v, keys[1:], value) if i == int(keys[0]) else v for i, v in enumerate(data)]
    return {k: _with(v, keys[1:], value) if k == keys[0] else v for k, v in data.items()}
