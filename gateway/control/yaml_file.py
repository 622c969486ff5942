"""
Reads a YAML file into a checked class, and says where it went wrong: file, line, key and what was expected.

PyYAML alone keeps the last of two equal keys in silence, and msgspec alone knows no line numbers; together with the
node tree both are told plainly.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from gateway.control.convert import WrongValue, convert
from gateway.core.errors import ConfigError

__all__ = ["YamlFile", "open_yaml", "read_yaml"]

T = TypeVar("T")


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
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        if tree is not None:
            _refuse_duplicates(tree, path)
        return YamlFile(path, tree, yaml.safe_load(text))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}, line {mark.line + 1}" if mark else str(path)
        raise ConfigError(place, f"expected YAML: {getattr(error, 'problem', None) or error}") from error


def read_yaml(path: Path, kind: type[T]) -> T:
    """The file as a ``kind``. Raises ``ConfigError``."""
    return open_yaml(path).convert(kind)


def _refuse_duplicates(node: yaml.Node, path: Path) -> None:
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                raise ConfigError(f"{path}, line {key.start_mark.line + 1}", f'"{key.value}" is given twice')
            seen.add(key.value)
            _refuse_duplicates(value, path)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_duplicates(item, path)


def _line_of(node: yaml.Node | None, keys: list[str]) -> int:
    """Line of the deepest of ``keys`` that is there, counted from 1."""
    if node is None:
        return 1
    line: int = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode) and keys:
        for key, value in node.value:
            if key.value == keys[0]:
                return _line_of(value, keys[1:]) if keys[1:] else int(key.start_mark.line) + 1
    return line
