"""Which versions ran is remembered over restarts, and never in the way."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from gateway.control.ran import Ran
from gateway.control.state_desk import StateDesk
from tests.support.control_state import FakeRunning


def test_what_ran_is_known_after_a_restart_last_first(tmp_path: Path) -> None:
    ran = Ran(tmp_path / "history" / "ran.json", keep=3)
    for version in (1, 2, 2, 5, 7):
        ran.note(version)

    assert Ran(tmp_path / "history" / "ran.json", keep=3).before(7) == [5, 2]


def test_a_state_that_was_begun_anew_has_none_of_the_old_versions(tmp_path: Path) -> None:
    ran = Ran(tmp_path / "ran.json", keep=10)
    for version in (1, 4, 9, 3):
        ran.note(version)

    assert ran.before(10) == [3, 1]


def test_what_was_refused_is_known_after_a_restart_until_it_runs(tmp_path: Path) -> None:
    ran = Ran(tmp_path / "ran.json", keep=3)
    ran.note(1, refused=2)
    ran.note(1)
    after = Ran(tmp_path / "ran.json", keep=3).refused
    ran.note(2)

    assert (set(after), set(Ran(tmp_path / "ran.json", keep=3).refused)) == ({2}, set())


def test_only_the_newest_refusals_are_kept(tmp_path: Path) -> None:
    ran = Ran(tmp_path / "ran.json", keep=3)
    for refused in (2, 3, 5, 4):
        ran.note(1, refused)

    assert ran.refused == {3, 4, 5}


def test_a_state_that_was_begun_anew_has_none_of_the_old_refusals(tmp_path: Path) -> None:
    ran = Ran(tmp_path / "ran.json", keep=10)
    ran.note(8, refused=9)
    ran.note(1)

    assert ran.refused == frozenset()


def test_a_damaged_file_is_as_none(tmp_path: Path) -> None:
    (tmp_path / "ran.json").write_text("[1, 2")

    assert Ran(tmp_path / "ran.json", keep=10).before(10) == []


async def test_whoever_changes_the_state_remembers_what_runs_and_what_was_refused(tmp_path: Path) -> None:
    running, ran = FakeRunning(), Ran(tmp_path / "ran.json", keep=10)
    nobody: Any = None
    desk = StateDesk(nobody, nobody, nobody, nobody, guard=nobody, running=running, ran=ran)
    async with asyncio.timeout(5):
        following = asyncio.create_task(desk.run())
        await running.waited.wait()
        running.waited.clear()
        running.refuses(2, "no")
        await running.waited.wait()
        running.waited.clear()
        running.runs(3)
        await running.waited.wait()
        following.cancel()

    assert (ran.before(9), set(ran.refused)) == ([3, 1], {2})
