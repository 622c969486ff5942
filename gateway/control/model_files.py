"""
The digests of all models that a document names, looked at again and again.

A model whose files were replaced is another model, even at the same path (``workers.model_digest``). Files that have
not changed by path, inode, length and time are not read again, so that a second look at a model of gigabytes costs a
few calls of ``stat``.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

import msgspec

from gateway.control.disk import of_disk
from gateway.control.document import Document
from gateway.core.errors import ConfigError
from workers.model_digest import FilesUnreadable, Stamp, is_young, model_digest, model_files, read_digest, stamp

__all__ = ["FilesMissing", "ModelFiles", "Stamp", "is_young", "model_paths", "stamp"]

_NICENESS = 10
_HANGS_S = 60.0
"""Without a byte: the disk behind it has gone."""
_REMEMBERED = 50_000


class FilesMissing(ConfigError):
    """The files of a model are not here, or are not those that are meant. They may come yet: others bring them."""


def model_paths(endpoints: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The models that endpoints name, as they stand in a document."""
    return sorted({path for _, path in _named(endpoints)})


class ModelFiles:
    """
    Remembers digests; one per process. Blocks while it reads: call it in a thread, in several if need be. ``pause`` is
    called between two pieces of work.
    """

    def __init__(self, clock_ns: Callable[[], int] = time.time_ns, pause: Callable[[], object] = lambda: None) -> None:
        self._clock_ns, self._pause = clock_ns, pause
        self._known: dict[str, tuple[Stamp, str]] = {}
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        """One file at a time: to read gigabytes takes seconds of a core."""
        self._hanging: dict[str, threading.Thread] = {}

    def digest(self, model: str) -> str:
        """Of a file or folder that is there. Raises ``ConfigError``, and ``OSError`` where a disk does not answer."""
        self._pause()
        try:
            return model_digest(model, self._of_file)
        except FilesUnreadable as error:
            if (trouble := of_disk(error)) is not None:
                raise trouble from None
            raise ConfigError(error.path, error.problem) from error

    def digests(self, endpoints: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
        """Of all models that are there. Raises as ``digest`` does, like all that follows but ``stamps``."""
        return {path: self.digest(path) for path in model_paths(endpoints) if stamp(path) is not None}

    def pinned(self, document: Document) -> Document:
        """
        With the digest of every model, and of none that is not used. One that the document names already stays.

        Raises ``FilesMissing`` where the files are not those that it names.
        """
        found = self.digests(document.endpoints)
        self._refuse_others(document, found)
        return msgspec.structs.replace(document, models=found)

    def check(self, document: Document) -> None:
        """Raises ``FilesMissing`` where the files of a model are not those that the document names."""
        named = {path for path in model_paths(document.endpoints) if path in document.models}
        self._refuse_others(document, {path: self.digest(path) for path in sorted(named) if stamp(path) is not None})

    def stamps(self, models: list[str]) -> dict[str, Stamp]:
        """Of every file, without reading any; of what cannot be listed only that of the path itself."""
        found: dict[str, Stamp] = {}
        for model in models:
            self._pause()
            found[model] = stamp(model)
            if os.path.isfile(model):  # noqa: PTH113  # half the time of Path.is_file
                continue  # it is all there is
            try:
                found.update((path, stamp(path)) for _, path in model_files(model))
            except FilesUnreadable:
                continue
        return found

    def _refuse_others(self, document: Document, found: Mapping[str, str]) -> None:
        for key, path in _named(document.endpoints):
            if path in found and document.models.get(path, found[path]) != found[path]:
                raise FilesMissing(key, f"the files of {path} are not those of version {document.version}")

    def _of_file(self, path: str) -> str:
        before = stamp(path)
        with self._lock:
            known = self._known.pop(path, None)
        if known is None or before is None or known[0] != before:
            known = (before, self._read(path))
            if before is None or stamp(path) != before or is_young(before, self._clock_ns()):
                return known[1]
        with self._lock:
            self._known[path] = known  # at the end: what was used last is forgotten last
            while len(self._known) > _REMEMBERED:
                del self._known[next(iter(self._known))]
        return known[1]

    def _read(self, path: str) -> str:
        """In a thread behind everything that serves. One that hangs is left alone, and keeps nobody from leaving."""
        with self._turn:
            before = self._hanging.pop(path, None)
            if before is None or not before.is_alive():
                told: SimpleQueue[str | FilesUnreadable | None] = SimpleQueue()
                before = threading.Thread(target=self._read_into, args=(path, told), name="model files", daemon=True)
                before.start()
                with suppress(Empty):
                    while (found := told.get(timeout=_HANGS_S)) is None:
                        pass
                    if isinstance(found, FilesUnreadable):
                        raise found
                    return found
            self._hanging[path] = before
        raise OSError(errno.ETIMEDOUT, "the disk does not answer", path)

    def _read_into(self, path: str, told: SimpleQueue[str | FilesUnreadable | None]) -> None:
        """None for each piece, and then what came of it."""

        def moved() -> None:
            told.put(None)
            self._pause()

        _stand_back()
        try:
            told.put(read_digest(path, moved))
        except FilesUnreadable as error:
            told.put(error)


def _stand_back() -> None:
    """For the thread that calls it; Linux keeps a priority for each."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, min(os.getpriority(os.PRIO_PROCESS, 0) + _NICENESS, 19))


def _named(endpoints: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """The key and the path of each model; what is not in order is left to whoever checks documents."""
    for name, endpoint in endpoints.items():
        deployments = endpoint.get("deployments")
        for deployment, config in deployments.items() if isinstance(deployments, Mapping) else ():
            path = config.get("model") if isinstance(config, Mapping) else None
            if isinstance(path, str):
                yield f"endpoints.{name}.deployments.{deployment}.model", path
