"""That temporary folders of workers go with them, also with those that were killed."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import tempfile
from pathlib import Path

import pytest

from workers.own_folder import own_folder


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def killed(root: Path) -> Path:
    """What is left of a process that held a folder with a file in it."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        with own_folder() as folder:
            (folder / "file").touch()
            os.write(writing, b".")
            signal.pause()
    os.read(reading, 1)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(reading)
    os.close(writing)
    (left,) = root.iterdir()
    return left


def test_a_folder_goes_with_what_is_in_it(root: Path) -> None:
    with own_folder() as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "file").touch()
        inside = list(root.iterdir())

    assert inside == [folder]
    assert list(root.iterdir()) == []


def test_only_we_may_look_into_it() -> None:
    with own_folder() as folder:
        mode = folder.stat().st_mode & 0o777

    assert mode == 0o700


def test_what_a_killed_group_has_left_goes_when_the_next_one_starts(root: Path) -> None:
    left = killed(root)
    was_there = (left / "file").exists()
    with own_folder() as folder:
        there = list(root.iterdir())

    assert was_there
    assert there == [folder]


def test_what_another_group_holds_stays() -> None:
    with own_folder() as one:
        (one / "file").touch()
        with own_folder():
            pass

        assert (one / "file").exists()


def test_what_workers_of_a_killed_group_still_hold_stays(root: Path) -> None:
    left = killed(root)
    descriptor = os.open(left, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with own_folder():
        pass
    os.close(descriptor)

    assert left.exists()


def test_what_somebody_else_owns_stays(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = killed(root)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with own_folder():
        pass

    assert left.exists()


def test_folders_of_other_names_and_links_stay(root: Path) -> None:
    other = root / "lockgate-check-1"
    other.mkdir()
    link = root / "lockgate-group-link"
    link.symlink_to(other)
    with own_folder():
        pass

    assert other.exists()
    assert link.is_symlink()


def test_a_folder_that_could_not_be_held_is_not_taken_for_one_that_was_left_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "no locks at this moment")

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", no_locks)
        one = own_folder()
        folder = one.__enter__()
    with own_folder():
        is_there = folder.exists()
    one.__exit__(None, None, None)

    assert is_there
    assert not folder.exists()
