"""
The versions that there were, in the state directory: one file each, so that adding one costs the same at any length.

They survive restarts, no number is given twice, and the oldest go when there are more than are to be kept. A file that
was damaged is left out and told once; the rest is still history.
"""

from __future__ import annotations

import os
import re
from hashlib import sha256
from pathlib import Path

import msgspec
import structlog

from gateway.control.disk import Disk
from gateway.control.document import Document, Entry
from gateway.core.errors import NotFound

__all__ = ["History", "history_folder"]

log = structlog.get_logger()

_NAME = re.compile(r"(\d{10,})\.json")


def history_folder(root: Path, state_dir: Path) -> Path:
    """That of the served folder ``root``, an absolute path: several may be served from one state directory in turn."""
    return state_dir / "history" / f"folder-{sha256(os.fsencode(root)).hexdigest()[:12]}"


class _Headed(msgspec.Struct, frozen=True):
    """Of a document only what the list shows."""

    entry: Entry


class History:
    """Of one served folder. Blocks for the time of the disk: call it in a thread. Everything may raise ``OSError``."""

    def __init__(self, folder: Path, keep: int, disk: Disk) -> None:
        self._folder, self._keep, self._disk = folder, keep, disk
        self._newest: Document | None = None
        self._told: set[int] = set()

    @property
    def last(self) -> int:
        """The newest version; 0 where there is none."""
        versions = self._versions()
        return versions[0] if versions else 0

    def newest(self) -> Document | None:
        """The newest that can be read."""
        if self._newest is None:
            self._newest = next((found for version in self._versions() if (found := self._read(version))), None)
        return self._newest

    def add(self, document: Document) -> None:
        """As the newest. Raises ``ValueError`` where its version is not."""
        if document.version <= self.last:
            raise ValueError(f"expected a version above {self.last}, got {document.version}")
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._disk.write(self._path(document.version), msgspec.json.encode(document))
        self._newest = document
        for old in self._versions()[self._keep :]:
            self._disk.remove(self._path(old))

    def entries(self) -> list[Entry]:
        """Newest first."""
        found = []
        for version in self._versions():
            try:
                found.append(msgspec.json.decode(self._path(version).read_bytes(), type=_Headed).entry)
            except (FileNotFoundError, msgspec.MsgspecError) as error:
                self._tell(version, error)
        return found

    def past(self, version: int) -> Document:
        """Raises ``NotFound``."""
        found = self._read(version) if version > 0 else None
        if found is None:
            raise NotFound(f"version {version} is not in the history")
        return found

    def _read(self, version: int) -> Document | None:
        try:
            return msgspec.json.decode(self._path(version).read_bytes(), type=Document)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            self._tell(version, error)
            return None

    def _tell(self, version: int, error: Exception) -> None:
        if not isinstance(error, FileNotFoundError) and version not in self._told:
            self._told.add(version)
            log.warning("control.version_damaged", version=version, file=str(self._path(version)))

    def _versions(self) -> list[int]:
        """Newest first."""
        try:
            names = [path.name for path in self._folder.iterdir()]
        except FileNotFoundError:
            return []
        return sorted((int(match[1]) for name in names if (match := _NAME.fullmatch(name))), reverse=True)

    def _path(self, version: int) -> Path:
        return self._folder / f"{version:010}.json"
