"""Small real child processes, and a supervisor over them that a test can watch without polling."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from workers.child import ChildSpec, ChildState
from workers.restart import Backoff
from workers.supervisor import Supervisor

__all__ = ["READY", "STUBBORN", "Watched", "child", "exited", "running", "stopped"]

READY = """
import signal, sys, os
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print('{"event": "ready"}', flush=True)
while True: signal.pause()
"""
"""Says that it is ready and leaves on SIGTERM."""

STUBBORN = READY.replace("lambda *_: sys.exit(0)", "signal.SIG_IGN")
"""Does not leave on SIGTERM."""


def child(
    name: str, script: str, *, cores: tuple[int, ...] = (), drain: float = 10.0, reload_wait: float = 60.0
) -> ChildSpec:
    """A child that runs a Python script."""
    argv = (sys.executable, "-I", "-S", "-c", script)
    return ChildSpec(name=name, argv=argv, cores=cores, drain=drain, reload_wait=reload_wait)


class Watched:
    """A running supervisor."""

    def __init__(
        self, stages: Sequence[Sequence[ChildSpec]], backoff: Callable[..., Backoff], stderr: int | None
    ) -> None:
        self.stop = asyncio.Event()
        self.history: list[tuple[str, str]] = []
        """Every change: name and phase."""
        self._changed = asyncio.Event()
        self.supervisor = Supervisor(
            stages, random=lambda: 0.0, clock=time.monotonic, changed=self._on_change, backoff=backoff, stderr=stderr
        )

    def state(self, name: str) -> ChildState:
        return next(state for state in self.supervisor.states if state.name == name)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until ``holds`` after some change."""
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    async def ready(self) -> None:
        await self.until(lambda: all(state.is_ready for state in self.supervisor.states))

    def _on_change(self, state: ChildState) -> None:
        self.history.append((state.name, state.phase))
        self._changed.set()


@asynccontextmanager
async def running(
    *stages: Sequence[ChildSpec],
    backoff: Callable[..., Backoff] = Backoff,
    limit: float = 20,
    stderr: int | None = None,
) -> AsyncIterator[Watched]:
    """Run a supervisor for the length of the block, then stop it; nothing in the block takes longer than ``limit``."""
    watched = Watched(stages, backoff, stderr)
    async with asyncio.timeout(limit), asyncio.TaskGroup() as tasks:
        tasks.create_task(watched.supervisor.run(watched.stop))
        try:
            yield watched
        finally:
            watched.stop.set()


def stopped(pid: int | None) -> None:
    """Stop a child of ours, as with Ctrl-Z, and wait until it is."""
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)


async def exited(pidfd: int) -> None:
    """Wait for the end of any process, child or not, and close its descriptor."""
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    loop.add_reader(pidfd, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
