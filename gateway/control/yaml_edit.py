"""
Changes what a YAML file says and nothing else of it: comments, order, quotes and spaces stay where no value changed.

The places of all values are known from PyYAML's node tree, so the new ones are put in by cutting and pasting text. A
library that writes the whole file anew keeps most of that, but moves comments and re-indents, and a comment above an
entry is lost with the entry before it. What comes out is read again before it is given back; where it does not say what
was wanted (anchors and aliases, for one), the file is written anew and its comments are gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import yaml

__all__ = ["edited", "written"]

_BREAKS = frozenset("\n\r\x85\u2028\u2029\ufeff")


def edited(text: str, wanted: Mapping[str, Any]) -> str:
    """``text`` such that it says ``wanted``, which holds nothing but what JSON can."""
    try:
        old = _plain(yaml.safe_load(text))
        if _same(old, wanted):
            return text
        edits = _Edits(text)
        edits.change(yaml.compose(text, Loader=yaml.SafeLoader), old, wanted)
        new = edits.applied()
        if _same(_plain(yaml.safe_load(new)), wanted):
            return new
    except (yaml.YAMLError, _Unsure, LookupError, TypeError):  # keys that are not texts, merged ones
        pass
    return written(wanted)


def written(data: Mapping[str, Any]) -> str:
    """As a new file."""
    text: str = yaml.dump(
        dict(data), Dumper=_Dumper, sort_keys=False, default_flow_style=None, allow_unicode=True, width=100
    )
    return text


class _Unsure(Exception):
    """The text is not where it would have to be; better to write it anew than to guess."""


class _Edits:
    """Pieces of one text that are to be replaced."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._line_end = "\r\n" if "\r\n" in text else "\n"
        self._pieces: list[tuple[int, int, str]] = []

    def change(self, node: yaml.Node | None, old: Any, new: Any) -> None:
        """``node`` says ``old``, which is not the same as ``new``."""
        if node is None:
            raise _Unsure
        if isinstance(node, yaml.MappingNode) and isinstance(new, Mapping) and new:
            if not node.flow_style:
                self._change_block(node, old, new)
                return
            keys = [key.value for key, _ in node.value]
            if set(keys) == new.keys() == old.keys():
                for key, value in node.value:
                    if not _same(old[key.value], new[key.value]):
                        self.change(self._in_place(key, value), old[key.value], new[key.value])
                return
        if isinstance(node, yaml.SequenceNode) and isinstance(new, list) and len(new) == len(old) == len(node.value):
            for value, before, after in zip(node.value, old, new, strict=True):
                if not _same(before, after):
                    self.change(self._in_place(node, value), before, after)
            return
        self._replace(node, new)

    def applied(self) -> str:
        text = self._text
        for start, end, piece in sorted(self._pieces, reverse=True):
            text = text[:start] + piece + text[end:]
        return text

    def _change_block(self, node: yaml.MappingNode, old: Any, new: Mapping[str, Any]) -> None:
        for key, value in node.value:
            if key.value not in new:
                self._pieces.append((self._line_start(key), self._line_after(key, value), ""))
            elif not _same(old[key.value], new[key.value]):
                self.change(self._in_place(key, value), old[key.value], new[key.value])
        indent = node.start_mark.column
        added = "".join(
            f"{' ' * indent}{_inline(key)}: {_inline(value)}{self._line_end}"
            for key, value in new.items()
            if key not in old
        )
        if added:
            end = self._line_after(*node.value[-1])
            ends_line = self._text[end - 1] == "\n"
            self._pieces.append((end, end, added if ends_line else self._line_end + added))

    def _replace(self, node: yaml.Node, value: Any) -> None:
        start, end = node.start_mark.index, self._end(node)
        space = " " if start and self._text[start - 1] == ":" else ""  # a key without a value
        self._pieces.append((start, end, space + _inline(value)))

    def _in_place(self, key: yaml.Node, value: yaml.Node) -> yaml.Node:
        """An alias is the very node that it stands for, somewhere before."""
        if value.start_mark.index < key.start_mark.index:
            raise _Unsure
        return value

    def _line_start(self, key: yaml.Node) -> int:
        start: int = key.start_mark.index - key.start_mark.column
        if self._text[start : key.start_mark.index].strip(" \ufeff"):
            raise _Unsure  # such as the first key behind a dash
        return start

    def _line_after(self, key: yaml.Node, value: yaml.Node) -> int:
        """Where the line behind the entry's last begins."""
        end = self._text.find("\n", self._entry_end(key, value))
        return len(self._text) if end < 0 else end + 1

    def _entry_end(self, key: yaml.Node, value: yaml.Node) -> int:
        return max(key.end_mark.index, self._end(self._in_place(key, value)))

    def _end(self, node: yaml.Node) -> int:
        """Of the node's own text: the mark of a block is where the next token begins, behind comments."""
        if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
            return self._entry_end(*node.value[-1])
        if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
            return self._end(self._in_place(node, node.value[-1]))
        end: int = node.end_mark.index
        while end > node.start_mark.index and self._text[end - 1] in " \r\n":
            end -= 1
        return end


def _inline(value: Any) -> str:
    """On one line, fit for any place."""
    text: str = yaml.dump(
        [value], Dumper=_Dumper, default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf")
    )
    return text.strip()[1:-1]


class _Dumper(yaml.SafeDumper):
    """Line breaks within a text are escaped: further lines would have to be indented, and not all come back."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if _BREAKS.isdisjoint(text) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def _plain(data: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(data))


def _same(one: Any, other: Any) -> bool:
    """Python takes 1, 1.0 and True for equal."""
    return msgspec.json.encode(one, order="deterministic") == msgspec.json.encode(other, order="deterministic")
