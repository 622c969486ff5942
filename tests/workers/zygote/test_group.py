"""Forking, burying, forking again and stopping, with workers that are a few lines of Python."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from select import select
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


class Started:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.seen: list[dict[str, Any]] = []

    def until(self, event: str, **facts: Any) -> dict[str, Any]:
        """Read events up to this one; the end of the stream is a failure."""
        assert self.process.stdout
        for line in self.process.stdout:
            found: dict[str, Any] = json.loads(line)
            self.seen.append(found)
            if found["event"] == event and facts.items() <= found.items():
                return found
        raise AssertionError(f"no {event} {facts} in {self.seen}")


@contextmanager
def group(folder: Path, *names: str, drain: float = 20, reload_wait: float = 60) -> Iterator[Started]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.zygote_process", str(folder), str(drain), str(reload_wait), *names],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Started(process)
    finally:
        process.kill()
        process.communicate()


@contextmanager
def orphan(folder: Path, *names: str) -> Iterator[tuple[Started, int]]:
    """A group that is ready, below another process, which can be killed; and its pidfd."""
    between = (
        "import subprocess, sys; subprocess.run([sys.executable, '-m', 'tests.support.zygote_process', *sys.argv[1:]])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", between, str(folder), "20", "60", *names], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    started = Started(process)
    pid = Path(f"/proc/{started.until('ready')['pid']}/stat").read_text().rpartition(")")[2].split()[1]
    group = os.pidfd_open(int(pid))
    too_late = threading.Timer(30, signal.pidfd_send_signal, (group, signal.SIGKILL))
    too_late.start()
    try:
        yield started, group
    finally:
        too_late.cancel()
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(group, signal.SIGKILL)
        os.close(group)
        process.kill()
        process.communicate()


def test_a_killed_worker_is_forked_again(tmp_path: Path) -> None:
    with group(tmp_path, "polite") as started:
        first = started.until("ready")["pid"]
        os.kill(first, signal.SIGKILL)
        died = started.until("exited", pid=first)
        second = started.until("ready")["pid"]

    assert died["status"] == -signal.SIGKILL
    assert second != first


def test_the_other_worker_lives_on(tmp_path: Path) -> None:
    with group(tmp_path, "polite", "polite") as started:
        first, second = started.until("ready")["pid"], started.until("ready")["pid"]
        os.kill(first, signal.SIGKILL)
        started.until("exited", pid=first)
        started.until("ready")
        os.kill(second, 0)

        assert second not in {event["pid"] for event in started.seen if event["event"] == "exited"}


def test_sigterm_lets_workers_finish(tmp_path: Path) -> None:
    with group(tmp_path, "polite", "polite") as started:
        started.until("ready")
        started.until("ready")
        started.process.send_signal(signal.SIGTERM)
        started.until("exited", status=0)
        started.until("exited", status=0)

        assert started.process.wait(timeout=30) == 0
        assert [event["event"] for event in started.seen].count("drained") == 2


def test_a_drain_time_further_off_than_a_process_can_wait_lets_workers_finish(tmp_path: Path) -> None:
    with group(tmp_path, "polite", drain=1e10) as started:
        started.until("ready")
        started.process.send_signal(signal.SIGTERM)
        left = started.until("exited")

        assert left["status"] == 0


def test_a_worker_that_somebody_has_stopped_leaves_as_any_other(tmp_path: Path) -> None:
    with group(tmp_path, "polite", drain=2) as started:
        os.kill(started.until("ready")["pid"], signal.SIGSTOP)
        started.process.send_signal(signal.SIGTERM)
        left = started.until("exited")

        assert left["status"] == 0


def test_what_does_not_leave_in_the_drain_time_is_killed(tmp_path: Path) -> None:
    with group(tmp_path, "stubborn", drain=0.05) as started:
        started.until("ready")
        started.process.send_signal(signal.SIGTERM)
        died = started.until("exited")

        assert died["status"] == -signal.SIGKILL
        assert started.process.wait(timeout=30) == 0


def test_a_worker_that_cannot_load_is_tried_again_while_others_serve_on(tmp_path: Path) -> None:
    with group(tmp_path, "polite", "exits-78", reload_wait=0) as started:
        for _ in range(3):
            started.until("exited", worker="exits-78")

        assert [event["worker"] for event in started.seen if event["event"] == "exited"] == ["exits-78"] * 3


def test_a_worker_that_cannot_load_is_not_tried_in_a_loop(tmp_path: Path) -> None:
    with group(tmp_path, "polite", "exits-78", reload_wait=3600) as started:
        started.until("exited", worker="exits-78")
        os.kill(next(event["pid"] for event in started.seen if event.get("worker") == "polite"), signal.SIGKILL)
        started.until("exited", worker="polite")
        started.until("forked", worker="polite")

        assert [event["worker"] for event in started.seen if event["event"] == "forked"].count("exits-78") == 1


def test_the_last_worker_that_cannot_load_takes_the_group_with_it(tmp_path: Path) -> None:
    with group(tmp_path, "exits-78", "exits-78") as started:
        assert started.process.wait(timeout=30) == 78


def test_a_worker_that_was_told_to_leave_is_not_forked_again(tmp_path: Path) -> None:
    with group(tmp_path, "exits-0") as started:
        started.until("exited")

        assert started.process.wait(timeout=30) == 0
        assert [event["event"] for event in started.seen].count("forked") == 1


@pytest.mark.parametrize(("name", "status"), [("crashing", 70), ("exits-75", 75), ("exits-69", 69)])
def test_a_worker_that_fails_comes_back_again_and_again(tmp_path: Path, name: str, status: int) -> None:
    with group(tmp_path, name) as started:
        statuses = [started.until("exited")["status"] for _ in range(3)]

    assert statuses == [status] * 3


def test_each_life_has_a_temporary_folder_of_its_own_that_goes_with_it(tmp_path: Path) -> None:
    with group(tmp_path, "polite", "polite") as started:
        first, second = started.until("ready"), started.until("ready")
        (Path(first["tmpdir"]) / "left.txt").write_text("behind")
        os.kill(first["pid"], signal.SIGKILL)
        again = started.until("ready")

        assert first["tmpdir"] != second["tmpdir"]
        assert not (Path(again["tmpdir"]) / "left.txt").exists()


def test_what_a_life_has_left_behind_is_not_in_the_way_of_the_next(tmp_path: Path) -> None:
    with group(tmp_path, "polite") as started:
        first = started.until("ready")
        left = Path(first["tmpdir"])
        left.rename(tmp_path / "moved")
        left.touch()  # as a folder that nobody can remove
        os.kill(first["pid"], signal.SIGKILL)

        assert started.until("ready")["pid"] != first["pid"]


def test_a_worker_that_cannot_be_forked_does_not_take_the_others_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    with group(folder, "polite", "polite") as started:
        first = started.until("ready")["pid"]
        started.until("ready")
        shutil.rmtree(folder)
        os.kill(first, signal.SIGKILL)
        started.until("exited", pid=first)
        started.process.send_signal(signal.SIGTERM)

        assert started.until("exited")["status"] == 0
        assert started.process.wait(timeout=30) == 0


def test_a_group_of_which_no_worker_can_be_forked_leaves(tmp_path: Path) -> None:
    with group(tmp_path / "missing", "polite", "polite") as started:
        assert started.process.wait(timeout=30) == 1


def test_a_second_thread_is_found_before_it_can_hurt(tmp_path: Path) -> None:
    with group(tmp_path, "threaded") as started:
        assert started.process.wait(timeout=30) == 1
        assert started.process.stderr
        assert "2 threads before a fork" in started.process.stderr.read()


def test_a_group_that_is_stopped_and_continued_serves_on(tmp_path: Path) -> None:
    with group(tmp_path, "polite") as started:
        first = started.until("ready")["pid"]
        started.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, started.process.pid, os.WSTOPPED | os.WNOWAIT)
        started.process.send_signal(signal.SIGCONT)
        os.kill(first, signal.SIGKILL)

        assert started.until("ready")["pid"] != first


@pytest.mark.parametrize("is_stopped", [False, True])
def test_a_group_drains_when_whoever_started_it_is_killed(tmp_path: Path, is_stopped: bool) -> None:
    with orphan(tmp_path, "polite") as (started, group):
        if is_stopped:
            signal.pidfd_send_signal(group, signal.SIGSTOP)
        started.process.kill()

        assert started.until("exited")["status"] == 0
        assert [event["event"] for event in started.seen].count("drained") == 1
        assert select([group], [], [], 30)[0] == [group]


def test_workers_die_with_a_killed_group(tmp_path: Path) -> None:
    with group(tmp_path, "stubborn") as started:
        started.until("ready")
        started.process.kill()

        assert started.process.stdout
        assert [json.loads(line)["event"] for line in started.process.stdout] in ([], ["forked"])  # and then the end
