"""
One child process and its lives: started, watched, started again, and stopped when asked.

The child is watched through a pidfd, so its exit is seen exactly when it happens, whatever its own children still hold
open, and without a thread or a SIGCHLD handler. It gets a session of its own: a Ctrl-C in the terminal reaches the
supervisor alone, which then stops everything in order. It dies with the supervisor (see ``workers.launch``).

What it tells on standard output, one JSON object a line, is kept as ``ChildState``; its standard error is its log.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
import structlog

from workers import gentle, launch
from workers.restart import LOAD_FAILED, RECYCLE, RELOAD_WAIT, Backoff

__all__ = ["Child", "ChildSpec", "ChildState"]

log = structlog.get_logger()

_LINE_LIMIT = 1 << 20
_LAST_WORDS = 1.0
"""Seconds to read what a dead child wrote before it died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """How to run one child."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to our own environment."""
    cores: tuple[int, ...] = ()
    parts: tuple[str, ...] = ()
    """Names of the workers that it is going to report about; none: it reports about itself."""
    drain: float = 10.0
    """Seconds between SIGTERM and SIGKILL."""
    reload_wait: float = RELOAD_WAIT
    """Seconds to wait after it said that trying again soon does not help."""
    is_gentle: bool = False
    """Whether its first life begins behind all others (``workers.gentle``); who asks for it ends it."""


@dataclass(slots=True)
class ChildState:
    """What is known of one child at the moment."""

    name: str
    parts: tuple[str, ...] = ()
    phase: Literal["starting", "loading", "ready", "failed", "waiting", "stopped"] = "starting"
    pid: int | None = None
    restarts: int = 0
    reason: str = ""
    """Why it is not ready, as it said itself or as its exit status tells."""
    ready: set[str] = field(default_factory=set)
    """Those of ``parts`` that can serve."""
    forks: dict[str, int] = field(default_factory=dict)
    """Part → how often it was forked again, over all lives; its first fork in each belongs to the child's start."""
    _forked: set[str] = field(default_factory=set, init=False, repr=False)
    """Parts that were forked in this life."""

    @property
    def is_ready(self) -> bool:
        return self.phase == "ready"

    @property
    def part_restarts(self) -> int:
        """Parts that were forked again."""
        return sum(self.forks.values())

    def apply(self, event: Mapping[str, Any]) -> None:
        """Take in one event of the child; unknown ones change nothing."""
        part = event.get("worker", "")
        match event.get("event"):
            case "loading":
                self.phase = "loading"
            case "ready":
                self.ready.add(part)
                self.phase = "ready" if self.ready.issuperset(self.parts) else "loading"
                self.reason = "" if self.phase == "ready" else self.reason
            case "failed":
                self.ready.discard(part)
                self.phase, self.reason = "failed", str(event.get("error") or event.get("message") or "")
            case "forked":
                if part in self._forked:
                    self.forks[part] = self.forks.get(part, 0) + 1
                self._forked.add(part)
            case "exited":
                self.ready.discard(part)
                if self.phase == "ready":
                    self.phase, self.reason = "loading", f"{part} exited with status {event.get('status')}"

    def born(self, pid: int) -> None:
        self.phase, self.pid = "starting", pid
        self.ready.clear()
        self._forked.clear()

    def died(self, status: int, *, is_stopping: bool) -> None:
        told = self.reason if self.phase == "failed" else ""
        self.pid = None
        self.ready.clear()
        if is_stopping:
            self.phase, self.reason = "stopped", ""
        elif status == LOAD_FAILED:
            self.phase, self.reason = "failed", told or "the model cannot be served"
        else:
            self.phase, self.reason = "waiting", "" if status == RECYCLE else told or _how_it_ended(status)


class Child:
    """
    Runs one child until ``stop``. ``changed`` is called after every change of ``state``; ``stderr`` is the descriptor
    of its standard error, None for our own.
    """

    def __init__(
        self,
        spec: ChildSpec,
        backoff: Backoff,
        clock: Callable[[], float],
        changed: Callable[[ChildState], None],
        stderr: int | None = None,
    ) -> None:
        self.spec, self.state = spec, ChildState(name=spec.name, parts=spec.parts)
        self._backoff, self._clock, self._changed, self._stderr = backoff, clock, changed, stderr
        self._stopping = asyncio.Event()
        self._gone = asyncio.Event()
        self._died = asyncio.Event()
        """Whether this life is over."""
        self._process: subprocess.Popen[bytes] | None = None

    async def run(self) -> None:
        """Start the child, and again whenever it ends, until ``stop``; when this ends, so has the child."""
        try:
            while not self._stopping.is_set():
                started = self._clock()
                status = await self._live()
                self.state.died(status, is_stopping=self._stopping.is_set())
                self._changed(self.state)
                if self._stopping.is_set():
                    break
                wait = self._backoff.died(status, self._clock() - started)
                if status == LOAD_FAILED:
                    wait = self.spec.reload_wait
                log.warning(
                    "supervisor.child_exited",
                    child=self.spec.name,
                    status=status,
                    reason=self.state.reason,
                    restart_in_s=round(wait, 3),
                )
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._stopping.wait()
                if not self._stopping.is_set():
                    self.state.restarts += 1
        finally:
            self._gone.set()

    async def stop(self) -> None:
        """Ask the child to drain and wait until it is gone; past its drain time it is killed."""
        self._stopping.set()
        self._ask_to_leave()
        try:
            async with asyncio.timeout(self.spec.drain):
                await self._gone.wait()
        except TimeoutError:
            log.warning("supervisor.child_killed", child=self.spec.name, drain_s=self.spec.drain)
            self.kill()
            await self._gone.wait()

    def kill(self) -> None:
        """End the child at once; no restart."""
        self._stopping.set()
        self._signal(signal.SIGKILL)

    async def renew(self) -> None:
        """End this life as ``stop`` does; the next one begins as after any death."""
        process = self._process
        self._ask_to_leave()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.spec.drain):
                await self._died.wait()
        if self._process is process:
            self._signal(signal.SIGKILL)

    def lost(self) -> None:
        """Nobody runs it any more: whoever waits for its end need not."""
        self._gone.set()

    async def _live(self) -> int:
        """One life, from start to exit; returns the exit status, negative for a signal."""
        spec = self.spec
        launcher = [sys.executable, "-I", "-S", str(Path(launch.__file__)), str(os.getpid())]
        try:
            process = subprocess.Popen(  # noqa: ASYNC220  # asyncio's own call does exactly this
                [*launcher, ",".join(map(str, spec.cores)), *spec.argv],
                env={**os.environ, **spec.env},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                start_new_session=True,
            )
        except OSError as error:  # no process left to have, or no memory: the others must not end for it
            log.warning("supervisor.child_not_started", child=spec.name, error=str(error))
            return os.EX_OSERR
        self._process = process
        self._died.clear()
        if spec.is_gentle and not self.state.restarts:
            gentle.begin(process.pid)
        self.state.born(process.pid)
        self._changed(self.state)
        pidfd = os.pidfd_open(process.pid)
        assert process.stdout is not None  # noqa: S101  # PIPE above
        events = asyncio.create_task(self._listen(process.stdout.fileno()), name=f"events of {spec.name}")
        try:
            await _readable(pidfd)
            self._signal(signal.SIGKILL)  # its own children, which might hold the pipe open
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS):
                    await asyncio.shield(events)
        finally:
            self._signal(signal.SIGKILL)  # nothing is left of it unless we were cancelled
            status = process.wait()
            self._process = None
            self._died.set()
            os.close(pidfd)
            events.cancel()
            with suppress(asyncio.CancelledError):
                await events
            process.stdout.close()
        return status

    async def _listen(self, stdout: int) -> None:
        reader = asyncio.StreamReader(limit=_LINE_LIMIT)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader),
            os.fdopen(os.dup(stdout), "rb", 0),
        )
        try:
            while True:
                try:
                    line = await reader.readline()
                except ValueError:  # longer than the limit: certainly no event
                    continue
                if not line:
                    return
                self._take(line)
        finally:
            transport.close()

    def _take(self, line: bytes) -> None:
        try:
            event = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.DecodeError:
            log.info("supervisor.child_said", child=self.spec.name, text=line.decode(errors="replace").rstrip())
            return
        self.state.apply(event)
        self._changed(self.state)

    def _ask_to_leave(self) -> None:
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)  # who is stopped would not hear of it before it is killed

    def _signal(self, number: signal.Signals) -> None:
        # Not reaped yet as long as ``_process`` is set, so the pid, which is also that of its group, is still its own.
        if self._process is not None:
            send = os.killpg if number is signal.SIGKILL else os.kill
            with suppress(ProcessLookupError):
                send(self._process.pid, number)


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)


def _how_it_ended(status: int) -> str:
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
