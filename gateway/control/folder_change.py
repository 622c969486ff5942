"""
Which files of a served folder have to change, and how, for it to say what a document says. Reads, and writes nothing.

Paths are written relative to their file where they were, and where they lead into the folder; comments and order stay
where nothing changed. The new texts are read as the folder will be read: what would not say the same is refused.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from gateway.control.convert import absolute
from gateway.control.document import Document
from gateway.control.served_folder import ENDPOINTS_FOLDER, FEATURES_FOLDER, ServedFolder, paths_in, plain
from gateway.control.yaml_edit import edited, written
from gateway.control.yaml_file import parse_yaml
from gateway.core.errors import ConfigError

__all__ = ["Edited", "FileChange", "folder_changes", "text_of"]


class Edited(Exception):
    """A file does not say any more what a change was planned on; nothing of it was overwritten."""


class FileChange(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says and what it shall say; None: there is none."""

    path: str
    old: str | None
    new: str | None
    mode: int | None = None
    """That it has."""


@dataclass(frozen=True, slots=True)
class _Section:
    """The files of endpoints, or those of views."""

    root: Path
    folder: str
    found: Mapping[str, Mapping[str, Any]]
    files: Mapping[str, Path]
    wanted: Mapping[str, Mapping[str, Any]]

    def changes(self) -> list[FileChange]:
        taken = set(self.files.values())
        found = []
        for name, wanted in self.wanted.items():
            if name in self.files and _same(self.found[name], wanted):
                continue
            path = self.files.get(name) or self._free(name, taken)
            taken.add(path)
            old = text_of(path) if name in self.files else None
            if name in self.files:
                self._refuse_edited(name, old)
            found.append(FileChange(path=str(path), old=old, new=self._new(path, old, wanted), mode=_mode(path)))
        for name, path in self.files.items():
            if name not in self.wanted:
                old = text_of(path)
                self._refuse_edited(name, old)
                found.append(FileChange(path=str(path), old=old, new=None, mode=_mode(path)))
        return found

    def _refuse_edited(self, name: str, text: str | None) -> None:
        path = self.files[name]
        if text is None or not _same(plain(parse_yaml(path, text)), self.found[name]):
            raise Edited(str(path))

    def _free(self, name: str, taken: set[Path]) -> Path:
        names = (f"{name}.yaml", *(f"{name}-{number}.yaml" for number in range(2, len(taken) + 3)))
        paths = (self.root / self.folder / each for each in names)
        return next(path for path in paths if path not in taken and not path.exists())

    def _new(self, path: Path, old: str | None, wanted: Mapping[str, Any]) -> str:
        before = parse_yaml(path, old).data if old is not None else {}
        known = {absolute(path.parent, owner[key]): owner[key] for owner, key in paths_in(before)}
        shown = copy.deepcopy(dict(wanted))
        for owner, key in paths_in(shown):
            owner[key] = known.get(owner[key]) or self._relative(path, owner[key])
        text = written(shown) if old is None else edited(old, shown)
        if not _same(plain(parse_yaml(path, text)), wanted):
            raise ConfigError(str(path), "what was wanted cannot be written as YAML")
        return text

    def _relative(self, path: Path, target: str) -> str:
        if not Path(target).is_relative_to(self.root):
            return target
        relative = os.path.relpath(target, path.parent)
        return relative if absolute(path.parent, relative) == target else target


def folder_changes(root: Path, found: ServedFolder, document: Document) -> list[FileChange]:
    """What has to be written first comes first. Raises ``Edited``, ``ConfigError``, ``OSError``."""
    wanted: Any = msgspec.json.decode(msgspec.json.encode({"e": document.endpoints, "v": document.views}))
    views = _Section(root, FEATURES_FOLDER, found.views, found.view_files, wanted["v"])
    endpoints = _Section(root, ENDPOINTS_FOLDER, found.endpoints, found.endpoint_files, wanted["e"])
    return [*views.changes(), *endpoints.changes()]


def text_of(path: Path) -> str | None:
    """With its line ends as they are; None where there is no such file."""
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), "expected text in UTF-8") from error


def _mode(path: Path) -> int | None:
    return path.stat().st_mode & 0o777 if path.exists() else None


def _same(one: Any, other: Any) -> bool:
    return msgspec.json.encode(one, order="deterministic") == msgspec.json.encode(other, order="deterministic")
