from __future__ import annotations

import asyncio
import os
import signal
import sys
from functools import partial
from pathlib import Path

from tests.support.children import READY, STUBBORN, child, exited, running, stopped
from workers.restart import LOAD_FAILED, Backoff

ROOT = Path(__file__).parents[3]
SLOWLY = partial(Backoff, first=60.0)
"""The second start in a row never comes within a test."""


async def test_a_killed_child_is_started_again_and_counted() -> None:
    async with running([child("a", READY)]) as watched:
        await watched.ready()
        first = watched.state("a").pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await watched.until(lambda: watched.state("a").restarts == 1 and watched.state("a").is_ready)

        assert watched.state("a").pid not in (first, None)


async def test_how_a_child_ended_is_its_reason() -> None:
    async with running([child("a", "import os; os.kill(os.getpid(), 11)")], backoff=SLOWLY) as watched:
        await watched.until(lambda: watched.state("a").restarts == 1 and watched.state("a").phase == "waiting")

        assert watched.state("a").reason == "killed by SIGSEGV"


async def test_a_model_that_cannot_load_is_not_tried_in_a_loop_and_keeps_its_reason() -> None:
    script = f"""
import sys
print('{{"event": "failed", "worker": "m/0", "error": "no such column"}}', flush=True)
sys.exit({LOAD_FAILED})
"""
    async with running([child("a", script, reload_wait=3600)]) as watched:
        await watched.until(lambda: watched.state("a").pid is None and watched.state("a").phase == "failed")

        assert watched.state("a").reason == "no such column"
        assert watched.state("a").restarts == 0


async def test_a_failing_child_does_not_touch_the_others() -> None:
    async with running([child("bad", "raise SystemExit(1)"), child("good", READY)], backoff=SLOWLY) as watched:
        await watched.until(lambda: watched.state("bad").restarts == 1 and watched.state("bad").phase == "waiting")
        await watched.until(lambda: watched.state("good").is_ready)

        assert watched.state("good").restarts == 0


async def test_the_first_stage_is_gone_before_the_second_is_told(tmp_path: Path) -> None:
    told = tmp_path / "told"
    script = f"""
import signal, sys, os
def leave(*_):
    fd = os.open({str(told)!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, b"NAME\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
print('{{"event": "ready"}}', flush=True)
while True: signal.pause()
"""
    gateways = [child(f"gateway {i}", script.replace("NAME", "gateway")) for i in (0, 1)]
    async with running(gateways, [child("worker", script.replace("NAME", "worker"))]) as watched:
        await watched.ready()

    assert told.read_text().split() == ["gateway", "gateway", "worker"]
    assert watched.history.index(("worker", "stopped")) > max(
        watched.history.index((f"gateway {i}", "stopped")) for i in (0, 1)
    )


async def test_a_child_that_ignores_sigterm_is_killed_after_its_drain_time() -> None:
    async with running([child("a", STUBBORN, drain=0.05)]) as watched:
        await watched.ready()
        pid = watched.state("a").pid
        assert pid is not None
        gone = os.pidfd_open(pid)
        watched.stop.set()
        await exited(gone)
        await watched.until(lambda: watched.state("a").phase == "stopped")


async def test_a_child_that_somebody_has_stopped_leaves_as_any_other() -> None:
    async with running([child("a", READY, drain=3600)]) as watched:
        await watched.ready()
        stopped(watched.state("a").pid)
        watched.stop.set()
        await watched.until(lambda: watched.state("a").phase == "stopped")


async def test_kill_ends_the_drain_at_once() -> None:
    async with running([child("a", STUBBORN, drain=3600)]) as watched:
        await watched.ready()
        watched.stop.set()
        watched.supervisor.kill()
        await watched.until(lambda: watched.state("a").phase == "stopped")


async def test_a_child_that_waits_for_its_restart_does_not_hold_up_the_stop() -> None:
    async with running([child("a", "raise SystemExit(1)")], backoff=SLOWLY) as watched:
        await watched.until(lambda: watched.state("a").restarts == 1 and watched.state("a").phase == "waiting")
        watched.stop.set()


async def test_a_child_runs_on_its_cores() -> None:
    core = max(os.sched_getaffinity(0))
    async with running([child("a", READY, cores=(core,))]) as watched:
        await watched.ready()
        pid = watched.state("a").pid
        assert pid is not None

        assert os.sched_getaffinity(pid) == {core}


async def test_what_is_no_event_on_standard_output_does_no_harm() -> None:
    noise = 'print("hello"); print("[1]"); print("x" * 3_000_000); '
    async with running([child("a", noise + READY)]) as watched:
        await watched.ready()


async def test_children_log_where_they_are_told_to(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        script = 'import sys; sys.stderr.write("model noise"); ' + READY
        async with running([child("a", script)], stderr=file.fileno()) as watched:
            await watched.ready()

    assert (tmp_path / "log").read_text() == "model noise"


async def test_the_death_of_a_child_is_seen_while_its_own_child_holds_the_pipe() -> None:
    script = """
import subprocess, sys, os
subprocess.Popen(["sleep", "3600"])
print('{"event": "ready"}', flush=True)
os.kill(os.getpid(), 9)
"""
    async with running([child("a", script)], backoff=SLOWLY) as watched:
        await watched.until(lambda: watched.state("a").phase == "waiting")

        assert watched.state("a").reason == "killed by SIGKILL"


async def test_children_die_with_a_supervisor_that_is_killed() -> None:
    script = """
import asyncio
from tests.support.children import READY, STUBBORN, child, running
async def main():
    async with running([child("a", STUBBORN)], [child("b", READY)], limit=60) as watched:
        await watched.ready()
        print(*[state.pid for state in watched.supervisor.states], flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""
    async with asyncio.timeout(30):
        supervisor = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        assert supervisor.stdout is not None
        pids = [int(pid) for pid in (await supervisor.stdout.readline()).split()]
        gone = [os.pidfd_open(pid) for pid in pids]
        supervisor.kill()
        await supervisor.wait()

        assert len(gone) == 2
        for pidfd in gone:
            await exited(pidfd)
