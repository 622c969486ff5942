"""Children that come and go while the supervisor runs."""

from __future__ import annotations

import asyncio
import os
import signal
import time

from tests.support.children import READY, STUBBORN, child, running, stopped
from workers.supervisor import Supervisor


async def test_a_child_that_comes_later_is_started_at_once_and_kept_alive() -> None:
    async with running([], [child("old", READY)]) as watched:
        await watched.ready()
        watched.supervisor.start(child("new", READY), 1)
        await watched.until(lambda: watched.state("new").is_ready)
        first = watched.state("new").pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await watched.until(lambda: watched.state("new").restarts == 1 and watched.state("new").is_ready)

        assert watched.state("old").restarts == 0


async def test_a_child_that_is_stopped_is_forgotten_and_the_others_live_on() -> None:
    async with running([child("a", READY), child("b", READY)]) as watched:
        await watched.ready()
        leaving, staying = watched.supervisor.children(0)
        await watched.supervisor.stop(leaving)

        assert [state.name for state in watched.supervisor.states] == ["b"]
        assert leaving.state.phase == "stopped"
        assert staying.state.is_ready


async def test_two_children_of_one_name_are_told_apart() -> None:
    async with running([child("a", READY)]) as watched:
        await watched.ready()
        new = watched.supervisor.start(child("a", READY), 0)
        await watched.until(lambda: new.state.is_ready)
        await watched.supervisor.stop(watched.supervisor.children(0)[0])

        assert watched.supervisor.children(0) == [new]
        assert new.state.is_ready


async def test_a_child_that_came_later_is_stopped_in_its_stage() -> None:
    async with running([child("gateway", READY)], []) as watched:
        await watched.ready()
        watched.supervisor.start(child("group", READY), 1)
        await watched.ready()

    assert watched.history.index(("gateway", "stopped")) < watched.history.index(("group", "stopped"))


async def test_a_child_that_comes_while_all_are_being_stopped_never_starts() -> None:
    async with running([child("slow to leave", STUBBORN, drain=0.2)]) as watched:
        await watched.ready()
        watched.stop.set()
        await asyncio.sleep(0)  # the supervisor has seen it
        await asyncio.sleep(0)
        late = watched.supervisor.start(child("late", READY), 0)

    assert late.state.pid is None
    assert ("late", "starting") not in watched.history


async def test_whoever_stops_a_child_when_nothing_runs_it_does_not_wait_for_it() -> None:
    supervisor = Supervisor([[child("a", READY)]], random=lambda: 0.0, clock=time.monotonic)
    never = asyncio.create_task(supervisor.run(asyncio.Event()))
    await asyncio.sleep(0)  # it has made the task of the child, which has not run yet
    never.cancel()
    async with asyncio.timeout(10):
        await asyncio.wait([never])
        await supervisor.stop(supervisor.children(0)[0])

    assert supervisor.states == []


async def test_a_renewed_child_is_drained_and_started_again() -> None:
    async with running([child("a", READY)]) as watched:
        await watched.ready()
        first = watched.state("a").pid
        await watched.supervisor.children(0)[0].renew()
        await watched.until(lambda: watched.state("a").restarts == 1 and watched.state("a").is_ready)

        assert first != watched.state("a").pid
        assert watched.state("a").reason == ""


async def test_a_child_that_does_not_leave_is_renewed_by_force() -> None:
    async with running([child("a", STUBBORN, drain=0.05)]) as watched:
        await watched.ready()
        await watched.supervisor.children(0)[0].renew()
        await watched.until(lambda: watched.state("a").restarts == 1 and watched.state("a").is_ready)


async def test_a_child_that_somebody_has_stopped_is_renewed_as_any_other() -> None:
    async with running([child("a", READY, drain=3600)]) as watched:
        await watched.ready()
        stopped(watched.state("a").pid)
        await watched.supervisor.children(0)[0].renew()
        await watched.until(lambda: watched.state("a").restarts == 1 and watched.state("a").is_ready)
