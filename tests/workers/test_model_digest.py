"""What a digest is made of; that it tells one model from another is in tests/control/test_model_files.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from workers.model_digest import FilesUnreadable, model_digest


def test_a_pipe_in_place_of_a_model_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.onnx")

    with pytest.raises(FilesUnreadable, match=r"model\.onnx: cannot be read: it is not a file"):
        model_digest(str(tmp_path / "model.onnx"))


def test_a_file_that_is_gone_is_told_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(FilesUnreadable, match=r"model\.onnx: cannot be read: No such file"):
        model_digest(str(tmp_path / "model.onnx"))
