"""One at a time may step aside."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from workers.options import GroupOptions, WorkerOptions
from workers.turns import Turn, turn_path


def group(*addresses: str, name: str = "e/d") -> GroupOptions:
    workers = [WorkerOptions(name=f"{name}/{i}", address=address) for i, address in enumerate(addresses)]
    return GroupOptions(model="m", workers=workers)


def test_only_one_has_the_turn(tmp_path: Path) -> None:
    first, second = Turn(tmp_path / "t"), Turn(tmp_path / "t")

    assert first.try_take()
    assert not second.try_take()


def test_a_turn_given_back_can_be_taken(tmp_path: Path) -> None:
    first, second = Turn(tmp_path / "t"), Turn(tmp_path / "t")
    first.try_take()
    first.give_back()

    assert second.try_take()


def test_a_holder_that_dies_gives_its_turn_back(tmp_path: Path) -> None:
    take = "import sys, pathlib, workers.turns as t; sys.exit(not t.Turn(pathlib.Path(sys.argv[1])).try_take())"
    status = subprocess.run([sys.executable, "-c", take, str(tmp_path / "t")], check=False, timeout=30).returncode

    assert status == 0
    assert Turn(tmp_path / "t").try_take()


def test_the_lock_lies_beside_the_sockets() -> None:
    assert turn_path(group("unix:/run/x/0.sock", "unix:/run/x/1.sock")).parent == Path("/run/x")


def test_deployments_that_share_a_folder_take_turns_of_their_own() -> None:
    blue, green = group("unix:/run/x/0.sock", name="e/blue"), group("unix:/run/x/1.sock", name="e/green")

    assert turn_path(blue) != turn_path(green)


def test_the_lock_of_workers_on_tcp_does_not_depend_on_their_own_temporary_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = turn_path(group("127.0.0.1:1", "127.0.0.1:2"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    assert turn_path(group("127.0.0.1:1", "127.0.0.1:2")) == before
