"""What ends ``serve`` before anything is started."""

from __future__ import annotations

import errno
import gc
from pathlib import Path
from typing import Any

import pytest

from gateway.commands import serve
from gateway.config import UNWRITTEN, Settings
from gateway.control.document import Document
from gateway.core.errors import ConfigError


class _Source:
    is_closed = False

    async def read(self) -> Document:
        return Document(entry=UNWRITTEN, endpoints={})

    async def close(self) -> None:
        self.is_closed = True


async def test_a_disk_that_fails_at_the_start_is_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, nobody = _Source(), Any
    failure = OSError(errno.EIO, "Input/output error", "/mnt/m.onnx")

    def compose(*_: object) -> None:
        raise failure

    monkeypatch.setattr(serve, "open_source", lambda *_, **__: source)
    monkeypatch.setattr(serve, "compose", compose)
    starting: Any = serve._serve
    with pytest.raises(ConfigError) as told:
        await starting(tmp_path, Settings(), _Files(tmp_path), tmp_path, console=nobody, logs=None)

    assert (str(told.value), source.is_closed) == ("/mnt/m.onnx: cannot be read: Input/output error", True)


async def test_what_is_there_when_serving_starts_is_walked_by_no_collection_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen: list[int] = []

    class _Run:
        def __init__(self, *_: object, **__: object) -> None: ...

        async def run(self) -> int:
            frozen.append(gc.get_freeze_count())
            gc.unfreeze()
            return 0

    monkeypatch.setattr(serve, "open_source", lambda *_, **__: _Source())
    monkeypatch.setattr(serve, "compose", lambda *_: None)
    monkeypatch.setattr(serve, "Supervising", _Run)
    starting: Any = serve._serve
    await starting(tmp_path, Settings(), _Files(tmp_path), tmp_path, console=None, logs=None)

    assert frozen[0] > 0


class _Files:
    def __init__(self, root: Path) -> None:
        self.root = root
