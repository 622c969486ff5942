"""Priorities of real processes: what loads gently gives way, and is like all others when that is over."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.children import READY, child, running
from workers import gentle

needs_the_right = pytest.mark.skipif(
    not gentle.can_return(), reason="the way back from SCHED_IDLE takes CAP_SYS_NICE or RLIMIT_NICE"
)
needs_sessions = pytest.mark.skipif(
    not Path("/proc/self/autogroup").exists(), reason="this kernel has no groups of sessions"
)

FAMILY = """
import os, sys, threading
go = sys.stdin.readline()
if os.fork() == 0:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    print("there", flush=True)
    threading.Event().wait()
threading.Event().wait()
"""
"""Forks a child with a second thread once it is told to."""


@contextmanager
def family() -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-I", "-S", "-c", FAMILY]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as leader:
        try:
            yield leader
        finally:
            os.killpg(leader.pid, signal.SIGKILL)


class Looks:
    """Lists folders, but for the first ``failing`` times, when no descriptor is left."""

    def __init__(self, failing: int) -> None:
        self._left, self._listdir = failing, os.listdir

    def listdir(self, folder: str) -> list[str]:
        if self._left:
            self._left -= 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), folder)
        return self._listdir(folder)


def grown(leader: subprocess.Popen[str]) -> None:
    """Let it fork, and wait until that is done."""
    assert leader.stdin is not None
    assert leader.stdout is not None
    leader.stdin.write("go\n")
    leader.stdin.flush()
    assert leader.stdout.readline() == "there\n"


def policies(session: int) -> list[int]:
    return [os.sched_getscheduler(thread) for thread in gentle._threads(session)]


def weight(pid: int) -> str:
    return Path(f"/proc/{pid}/autogroup").read_text(encoding="ascii").rpartition("nice ")[2].strip()


@needs_the_right
def test_what_a_gentle_process_starts_is_gentle_too() -> None:
    with family() as leader:
        gentle.begin(leader.pid)
        grown(leader)

        assert policies(leader.pid) == [os.SCHED_IDLE] * 3


@needs_the_right
async def test_at_the_end_every_thread_of_the_session_is_as_we_are() -> None:
    with family() as leader:
        gentle.begin(leader.pid)
        grown(leader)
        await gentle.end(leader.pid)

        assert policies(leader.pid) == [os.sched_getscheduler(0)] * 3


@needs_sessions
async def test_the_session_itself_gives_way_and_is_like_others_at_the_end() -> None:
    with family() as leader:
        gentle.begin(leader.pid)
        meanwhile = weight(leader.pid)
        async with asyncio.timeout(10):
            await gentle.end(leader.pid)

        assert (meanwhile, weight(leader.pid)) == ("19", "0")


async def test_without_the_right_to_come_back_nobody_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gentle, "can_return", lambda: False)
    with family() as leader:
        gentle.begin(leader.pid)

        assert policies(leader.pid) == [os.sched_getscheduler(0)]


def test_asking_leaves_us_as_we_are() -> None:
    before = os.sched_getscheduler(0)
    gentle.can_return()

    assert os.sched_getscheduler(0) == before


async def test_a_process_that_has_gone_is_no_error() -> None:
    with family() as leader:
        pass
    gentle.begin(leader.pid)
    async with asyncio.timeout(10):
        await gentle.end(leader.pid)


async def test_what_leaves_is_behind_all_others_with_every_thread() -> None:
    with family() as leader:
        grown(leader)
        async with asyncio.timeout(10):
            await gentle.leave(leader.pid)
        found = [os.getpriority(os.PRIO_PROCESS, thread) for thread in gentle._threads(leader.pid)]

        assert found == [max(10, os.getpriority(os.PRIO_PROCESS, 0))] * 3


@needs_sessions
async def test_the_session_of_what_leaves_gives_way() -> None:
    with family() as leader:
        async with asyncio.timeout(10):
            await gentle.leave(leader.pid)

        assert weight(leader.pid) == "10"


async def test_what_has_left_already_is_no_error() -> None:
    with family() as leader:
        pass
    async with asyncio.timeout(10):
        await gentle.leave(leader.pid)


async def test_the_session_is_given_its_priority_once_there_is_a_descriptor_to_write_it_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Late:
        def __init__(self) -> None:
            self.written: list[str] = []
            self.failing = [errno.EMFILE, errno.EAGAIN]

        def write_text(self, text: str, encoding: str) -> None:
            if self.failing:
                raise OSError(self.failing.pop(), "not now")
            self.written.append(text)

    late = Late()
    monkeypatch.setattr("workers.gentle._PAUSE", 0.0)
    monkeypatch.setattr("workers.gentle._autogroup", lambda _: late)
    async with asyncio.timeout(10):
        await gentle.end(2**22 + 1)

    assert late.written == ["0"]


async def test_whoever_cannot_be_looked_for_leaves_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.gentle.os.listdir", Looks(10**6).listdir)
    with family() as leader:
        async with asyncio.timeout(10):
            await gentle.leave(leader.pid)


@needs_the_right
async def test_an_end_for_which_no_descriptor_is_left_at_first_comes_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("workers.gentle._PAUSE", 0.0)
    monkeypatch.setattr("workers.gentle.os.listdir", Looks(3).listdir)
    with family() as leader:
        gentle.begin(leader.pid)
        grown(leader)
        async with asyncio.timeout(10):
            await gentle.end(leader.pid)

        assert policies(leader.pid) == [os.sched_getscheduler(0)] * 3


@needs_the_right
async def test_only_the_first_life_of_a_child_is_gentle() -> None:
    async with running([replace(child("a", READY), is_gentle=True)]) as watched:
        await watched.ready()
        first = watched.state("a").pid
        assert first is not None
        before = os.sched_getscheduler(first)
        os.kill(first, signal.SIGKILL)
        await watched.until(lambda: watched.state("a").restarts == 1 and watched.state("a").is_ready)
        second = watched.state("a").pid
        assert second is not None

        assert (before, os.sched_getscheduler(second)) == (os.SCHED_IDLE, os.sched_getscheduler(0))
