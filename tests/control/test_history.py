"""Versions are kept over restarts, up to a bound, and no number is given twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.control.disk import Disk
from gateway.control.document import Document, Entry
from gateway.control.history import History
from gateway.core.errors import NotFound


def document(version: int) -> Document:
    entry = Entry(version=version, at=100.0 + version, by="anna", what=f"change {version}")
    return Document(entry=entry, endpoints={"e": {"name": "e", "traffic": {"blue": version}}})


def opened(folder: Path, keep: int = 200) -> History:
    return History(folder / "history", keep, Disk())


def filled(folder: Path, versions: int, keep: int = 200) -> History:
    history = opened(folder, keep)
    for version in range(1, versions + 1):
        history.add(document(version))
    return history


def test_an_empty_history_has_no_newest(tmp_path: Path) -> None:
    history = opened(tmp_path)

    assert (history.newest(), history.last, history.entries()) == (None, 0, [])


def test_the_newest_comes_first_also_after_a_restart(tmp_path: Path) -> None:
    filled(tmp_path, 12)

    assert [entry.version for entry in opened(tmp_path).entries()] == list(range(12, 0, -1))
    assert opened(tmp_path).newest() == document(12)


def test_a_past_version_is_what_it_was(tmp_path: Path) -> None:
    assert filled(tmp_path, 3).past(2) == document(2)


@pytest.mark.parametrize("version", [0, -1, 4])
def test_a_version_that_there_is_not_is_not_found(tmp_path: Path, version: int) -> None:
    with pytest.raises(NotFound, match=f"version {version} is not in the history"):
        filled(tmp_path, 3).past(version)


def test_the_oldest_go_when_there_are_too_many(tmp_path: Path) -> None:
    history = filled(tmp_path, 5, keep=3)

    assert [entry.version for entry in history.entries()] == [5, 4, 3]
    assert len(list((tmp_path / "history").iterdir())) == 3


@pytest.mark.parametrize("version", [2, 3])
def test_no_version_is_given_twice(tmp_path: Path, version: int) -> None:
    with pytest.raises(ValueError, match=f"expected a version above 3, got {version}"):
        filled(tmp_path, 3).add(document(version))


def test_a_damaged_version_is_left_out_and_told_once_and_its_number_stays_taken(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    (tmp_path / "history" / "0000000003.json").write_text("{")
    history = opened(tmp_path)
    with capture_logs() as logs:
        found = [history.entries(), history.entries()]

    assert [[entry.version for entry in entries] for entries in found] == [[2, 1], [2, 1]]
    assert [event["event"] for event in logs] == ["control.version_damaged"]
    assert (history.newest(), history.last) == (document(2), 3)


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    filled(tmp_path, 1)

    assert (tmp_path / "history").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "history" / "0000000001.json").stat().st_mode & 0o777 == 0o600
