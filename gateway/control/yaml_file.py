"""
Reads a YAML file into a checked class, and says where it went wrong: file, line, key and what was expected.

PyYAML alone keeps the last of two equal keys in silence, and msgspec alone knows no line numbers; together with the
node tree both are told plainly.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from gateway.core.errors import ConfigError

__all__ = ["read_yaml"]

T = TypeVar("T")


def read_yaml(path: Path, kind: type[T]) -> T:
    """The file as a ``kind``; relative paths in it are taken from the file's folder. Raises ``ConfigError``."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        if tree is not None:
            _refuse_duplicates(tree, path)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}, line {mark.line + 1}" if mark else str(path)
        raise ConfigError(place, f"expected YAML: {getattr(error, 'problem', None) or error}") from error

    def decode(wanted: type, value: Any) -> Any:
        if wanted is Path:
            if not isinstance(value, str):
                raise ValueError(f"expected a path, got {value!r}")
            return (path.parent / value).resolve()
        if wanted is object:  # any value: the class itself checks it
            return value
        raise NotImplementedError(f"no reader for {wanted}")

    def convert(value: Any) -> T:
        return msgspec.convert(value, kind, dec_hook=decode)

    try:
        return convert({} if data is None else data)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at ")
        keys = _named_keys(data, re.findall(r"\w+|\.\.\.", where), convert, str(error))
        line = _line_of(tree, _blamed(message, keys))
        raise ConfigError(f"{path}, line {line}", f"{'.'.join(keys)}: {message}" if keys else message) from error


def _named_keys(data: Any, steps: list[str], convert: Callable[[Any], object], complaint: str) -> list[str]:
    """
    The path of an error with the mapping keys that msgspec leaves out ("...") filled in.

    The guilty key is the one that, alone in its mapping, brings the same complaint.
    """
    for i, step in enumerate(steps):
        if step != "...":
            continue
        whole = _at(data, steps[:i])
        for key in whole if isinstance(whole, dict) else ():
            try:
                convert(_with(data, steps[:i], {key: whole[key]}))
            except msgspec.ValidationError as error:
                if str(error) == complaint:
                    return _named_keys(data, [*steps[:i], str(key), *steps[i + 1 :]], convert, complaint)
        return steps[:i]
    return steps


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


def _blamed(message: str, keys: list[str]) -> list[str]:
    """Extend the path by the key that the message itself names."""
    unknown = re.search(r"unknown field `([^`]+)`", message)
    own = re.match(r"(\w+): ", message)
    return [*keys, unknown.group(1)] if unknown else [*keys, own.group(1)] if own else keys


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
