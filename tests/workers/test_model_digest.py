"""What a digest is made of; that it tells one model from another is in tests/control/test_model_files.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from workers.model_digest import FilesUnreadable, is_young, model_digest


def test_a_pipe_in_place_of_a_model_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.onnx")

    with pytest.raises(FilesUnreadable, match=r"model\.onnx: cannot be read: it is not a file"):
        model_digest(str(tmp_path / "model.onnx"))


def test_a_file_that_is_gone_is_told_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(FilesUnreadable, match=r"model\.onnx: cannot be read: No such file"):
        model_digest(str(tmp_path / "model.onnx"))


@pytest.mark.parametrize(
    ("changed_ns", "age_ns", "expected"),
    [
        (7_000_000_001, 19_000_000, True),
        (7_000_000_001, 21_000_000, False),
        (7_000_000_000, 900_000_000, True),
        (7_000_000_000, 1_100_000_000, False),
        (7_000_000_000, -1, False),
    ],
    ids=["in the tick", "after it", "in a whole second", "after that", "from the future"],
)
def test_a_file_is_young_for_a_tick_of_its_file_system_which_may_count_in_seconds(
    changed_ns: int, age_ns: int, expected: bool
) -> None:
    assert is_young((1, 2, 3, changed_ns), changed_ns + age_ns) is expected


def test_what_is_not_there_is_not_young() -> None:
    assert not is_young(None, 0)
