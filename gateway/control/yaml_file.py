"""
Reads a YAML file into a checked class, and says where it went wrong: file, line, key and what was expected.

PyYAML alone keeps the last of two equal keys in silence, and msgspec alone knows no line numbers; together with the
node tree both are told plainly.
"""

from __future__ import annotations

import os
import re
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from gateway.control.convert import WrongValue, convert
from gateway.core.errors import ConfigError

__all__ = ["KnownYaml", "YamlFile", "open_yaml", "parse_yaml", "read_yaml"]

T = TypeVar("T")

_MOST_BYTES = 1 << 20
"""Of a file: what a ConfigMap may hold."""
_MOST_VALUES = 100_000
_DEEPEST = 50
_REMEMBERED = 1 << 20
"""Characters of files, such as a thousand endpoints; what they are understood as takes some fifty times the memory."""
_OWN = 50
"""Characters that the place of a file in the memory counts for: one that was empty takes memory too."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_NOT_YAML = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What PyYAML lets out besides its own errors, for the 13th month or a key that is a list."""


@dataclass(frozen=True, slots=True)
class YamlFile:
    """What stands in a file."""

    path: Path
    tree: yaml.Node | None
    """With the place of every node; None for an empty file."""
    data: Any
    """As plain mappings and lists."""

    def convert(self, kind: type[T]) -> T:
        """Checked as a ``kind``; relative paths in it are taken from the file's folder. Raises ``ConfigError``."""
        try:
            return convert(self.data, kind, self.path.parent)
        except WrongValue as error:
            raise ConfigError(f"{self.path}, line {_line_of(self.tree, error.blamed)}", error.told) from error


def open_yaml(path: Path) -> YamlFile:
    """Raises ``ConfigError`` for a file that cannot be read or is not YAML."""
    return parse_yaml(path, _text(path))


class KnownYaml:
    """
    Opens files as ``open_yaml`` does, and understands each text once: that takes a millisecond, and reading it nothing.
    What is given may be given again: nobody may change it. ``pause`` is called before each file. May be used by several
    threads.
    """

    def __init__(self, pause: Callable[[], None] = lambda: None) -> None:
        self._pause = pause
        self._known: dict[Path, tuple[str, YamlFile]] = {}
        self._length = 0
        self._lock = threading.Lock()

    def open(self, path: Path) -> YamlFile:
        """Raises ``ConfigError``."""
        self._pause()
        text = _text(path)
        known = self._known.get(path)
        if known is None or known[0] != text:
            known = text, parse_yaml(path, text)
        with self._lock:
            self._keep(path, known)
        return known[1]

    def _keep(self, path: Path, known: tuple[str, YamlFile]) -> None:
        if (before := self._known.pop(path, None)) is not None:
            self._length -= _OWN + len(before[0])
        self._known[path] = known  # at the end: what was opened last is forgotten last
        self._length += _OWN + len(known[0])
        while self._length > _REMEMBERED:
            self._length -= _OWN + len(self._known.pop(next(iter(self._known)))[0])


def parse_yaml(path: Path, text: str) -> YamlFile:
    """What is written in the file. Raises ``ConfigError``, whatever that is."""
    try:
        loader = _Loader(text)
        try:
            tree = loader.get_single_node()
            if tree is not None:
                _Look(path).at(tree, 0)
            # What ``yaml.load`` does, without reading the text once more.
            return YamlFile(path, tree, loader.construct_document(tree) if tree is not None else None)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}, line {mark.line + 1}" if mark else str(path)
        raise ConfigError(place, f"expected YAML: {getattr(error, 'problem', None) or error}") from error
    except _NOT_YAML as error:
        raise ConfigError(str(path), f"expected YAML: {error}") from error


def read_yaml(path: Path, kind: type[T]) -> T:
    """The file as a ``kind``. Raises ``ConfigError``."""
    return open_yaml(path).convert(kind)


class _Loader(yaml.SafeLoader):
    """Knows the line of what looks like a date or a number and is none."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except _NOT_YAML as error:
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from error


def _text(path: Path) -> str:
    try:
        # Without waiting: to open a pipe takes as long as nobody writes to it.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigError(str(path), "cannot be read: it is not a file")
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise ConfigError(str(path), f"expected at most {_MOST_BYTES} bytes")
        return data.decode().replace("\r\n", "\n").replace("\r", "\n")
    except (OSError, ValueError) as error:
        raise ConfigError(str(path), f"cannot be read: {getattr(error, 'strerror', None) or error}") from error


class _Look:
    """Once through everything that stands in a file, with what stands for something else as often as it does."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._left = _MOST_VALUES

    def at(self, node: yaml.Node, depth: int) -> None:
        """Raises ``ConfigError`` for what nobody means, or what would take for ever."""
        self._left -= 1
        if depth > _DEEPEST or self._left < 0:
            raise self._wrong(node, f"expected at most {_MOST_VALUES} values, {_DEEPEST} levels deep")
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise self._wrong(key, "expected text for a key; values with braces or brackets need quotes")
                if key.value in seen:
                    raise self._wrong(key, f'"{key.value}" is given twice')
                seen.add(key.value)
                self.at(key, depth + 1)
                self.at(value, depth + 1)
        elif isinstance(node, yaml.SequenceNode):
            for item in node.value:
                self.at(item, depth + 1)
        elif not node.value.isascii() and _SURROGATE.search(node.value):
            raise self._wrong(node, "expected Unicode text")

    def _wrong(self, node: yaml.Node, expected: str) -> ConfigError:
        return ConfigError(f"{self._path}, line {node.start_mark.line + 1}", expected)


def _line_of(node: yaml.Node | None, keys: list[str]) -> int:
    """Line of the deepest of ``keys`` that is there, counted from 1."""
    if node is None:
        return 1
    line: int = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode) and keys:
        for key, value in reversed(node.value):  # what ``<<`` brings stands first, and its own keys override it
            if key.value == keys[0]:
                return _line_of(value, keys[1:]) if keys[1:] else int(key.start_mark.line) + 1
    return line
