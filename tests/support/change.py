"""
The supervisor's side of a change without models: real child processes that say what they are told to, gateways that
are fakes on real Unix sockets, and a source in memory.

Time stands still unless a test lets it run: nothing ends because a machine was slow.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from gateway.commands.convergence import Convergence
from gateway.commands.gateway_calls import GatewayCalls
from gateway.commands.gateway_versions import GatewayVersions
from gateway.commands.groups import Group, GroupPlan, Sockets, plan_groups, wanted_groups
from gateway.commands.running_groups import RunningGroups
from gateway.commands.transition import Follower, Phase, State, Transition, served_by
from gateway.config import Config, Settings, compose
from gateway.control.admin_served import ServedState, served_routes
from gateway.control.document import Document, Entry
from gateway.control.progress import Outcome, outcome_of
from gateway.control.served import Served, read_served, write_served
from gateway.control.source import Conflict
from gateway.core.errors import ConfigError, GatewayError, NotFound
from gateway.edge.plain_status import plain_status
from gateway.pool.config import PoolConfig
from tests.support.children import READY, child
from workers.affinity import Available
from workers.child import Child, ChildSpec, ChildState
from workers.supervisor import Supervisor

__all__ = ["Change", "FakeGateway", "MemorySource", "Time", "changing", "loaded"]

_LOADS = {
    "good": READY,
    "good too": READY,
    "broken": 'import sys\nprint(\'{"event": "failed", "error": "no such column"}\', flush=True)\nsys.exit(78)',
    "dying": "import os\nos.kill(os.getpid(), 11)",
    # Loads until it is told that it has loaded.
    "slow": """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
print('{"event": "loading"}', flush=True)
signal.sigwait({signal.SIGUSR1})
"""
    + READY,
}
"""Name of a model → what its group does."""


class Time:
    """Seconds that pass only when they are let: by hand, or with every pause while it ``flies``."""

    def __init__(self) -> None:
        self.now = 0.0
        self.flies = False

    def __call__(self) -> float:
        return self.now

    async def pause(self, seconds: float) -> None:
        if self.flies:
            self.now += seconds
        await asyncio.sleep(0.001)  # the processor for others; nothing depends on how long


class MemorySource:
    """Implements ``Source``. ``problem`` is raised by ``read`` while it is there."""

    def __init__(self, first: Document) -> None:
        self.documents = [first]
        self.problem: GatewayError | None = None
        self.read_only = ""
        self._news = asyncio.Event()

    def offer(self, document: Document) -> None:
        self.documents.append(document)
        self._news.set()

    def break_with(self, problem: GatewayError | None) -> None:
        self.problem = problem
        self._news.set()

    async def read(self) -> Document:
        self._news.clear()
        if self.problem is not None:
            raise self.problem
        return self.documents[-1]

    async def settled(self) -> Document:
        return self.documents[-1]

    async def write(self, document: Document, expected: int) -> Document:
        newest = self.documents[-1]
        if newest.version != expected:
            raise Conflict(expected, newest.version)
        written = msgspec.structs.replace(
            document, entry=msgspec.structs.replace(document.entry, version=newest.version + 1)
        )
        self.offer(written)
        return written

    async def changed(self) -> None:
        await self._news.wait()

    async def history(self) -> Sequence[Entry]:
        return [document.entry for document in reversed(self.documents)]

    async def past(self, version: int) -> Document:
        found = next((document for document in self.documents if document.version == version), None)
        if found is None:
            raise NotFound(f"no version {version}")
        return found

    async def close(self) -> None:
        """Nothing to free."""


class FakeGateway:
    """Implements ``Reloadable``: it serves nothing, and tells ``history`` of every call."""

    def __init__(self, index: str, socket: Path, file: Path, history: list[str]) -> None:
        self.index, self.socket, self.file, self.history = index, socket, file, history
        self._by = read_served(file)
        self.version = self._by.version
        self.prepared: Served | None = None
        self.says: int | None = None
        """A version that it claims to run instead of its own."""
        self.draining: list[str] = []
        self.refuses: GatewayError | None = None
        self.on_prepare: Callable[[], None] = lambda: None
        self.on_commit: Callable[[], None] = lambda: None
        """May raise, or put the gateway to sleep."""
        self._runner: web.AppRunner | None = None

    @property
    def state(self) -> ServedState:
        prepared = self.prepared.version if self.prepared else None
        using = [*self.serving, *self.draining]
        return ServedState(version=self.says or self.version, prepared=prepared, draining=self.draining, using=using)

    @property
    def serving(self) -> list[str]:
        """Addresses of the workers of its version."""
        return _addresses(self._by)

    async def prepare(self, served: Served) -> None:
        self.history.append(f"{self.index} prepares {served.version} of {read_served(self.file).version}")
        self.on_prepare()
        if self.refuses is not None:
            raise self.refuses
        self.prepared = served

    async def commit(self, version: int) -> None:
        self.history.append(f"{self.index} commits {version} of {read_served(self.file).version}")
        self.on_commit()
        if self.prepared is None or self.prepared.version != version:
            raise Conflict(version, self.version)
        self.version, self._by, self.prepared = version, self.prepared, None

    async def abandon(self) -> None:
        self.history.append(f"{self.index} abandons")
        self.prepared = None

    async def listen(self) -> None:
        """As a process that has just started: by the file."""
        self._by, self.prepared = read_served(self.file), None
        self.version = self._by.version
        app = web.Application(client_max_size=1 << 24)
        app.add_routes(served_routes(self, plain_status))
        self._runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=0)
        await self._runner.setup()
        self.socket.unlink(missing_ok=True)
        await web.UnixSite(self._runner, str(self.socket)).start()

    async def vanish(self) -> None:
        """It does not answer any more."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()


def _addresses(served: Served) -> list[str]:
    return [each for endpoint in served.plan.values() for addresses in endpoint.values() for each in addresses]


class _Follower:
    def __init__(self, history: list[str], file: Path) -> None:
        self._history, self._file = history, file
        self.refuses: ConfigError | None = None
        self.is_done = asyncio.Event()
        """Cleared by a test whose follower takes long."""
        self.is_done.set()

    async def prepare(self, config: Config) -> None:
        self._history.append(f"follower prepares of {read_served(self._file).version}")
        await self.is_done.wait()
        if self.refuses is not None:
            raise self.refuses

    def install(self, config: Config) -> None:
        self._history.append(f"follower installs of {read_served(self._file).version}")


def loaded(group: Child) -> None:
    """A slow model has loaded."""
    assert group.state.pid is not None
    os.kill(group.state.pid, signal.SIGUSR1)


class Change:
    """Everything of it; ``history`` is what gateways and followers were asked, with the version of the file then."""

    def __init__(self, folder: Path, models: Mapping[str, str], gateways: int) -> None:
        self.folder, self.time, self.history = folder, Time(), list[str]()
        self.file = folder / "served.json"
        for name in _LOADS:
            (folder / f"{name}.onnx").touch()
        self.settings = Settings(drain_ms=10_000, gateways=gateways, pool=PoolConfig(load_timeout_ms=600_000))
        self.disk_trouble: OSError | None = None
        """What a look at the models' files ends with."""
        self.stop = asyncio.Event()
        self.lives: list[tuple[str, str]] = []
        """Every change of a group's process: name and phase."""
        self._moved = asyncio.Event()
        first = self.document(1, models)
        config = compose(first, folder, self.settings)
        self._sockets = Sockets(folder, "l")
        self.source = MemorySource(first)
        specs = [child(f"gateway/{i}", READY) for i in range(gateways)]
        self.supervisor = Supervisor([specs, []], random=lambda: 0.0, clock=self.time, changed=self._on_change)
        self.ended_gentleness: list[int] = []
        self.stepped_back: list[int] = []
        """Processes that were told to leave behind all others, while they lived."""
        self.groups = RunningGroups(
            self.supervisor,
            1,
            self._spec_of,
            clock=self.time,
            gentle_for=60.0,
            can_return=lambda: True,
            end_gentleness=self._end_gentleness,
            leave=self._leave,
        )
        plan = self._plan([], config, first.models)
        write_served(self.file, served_by(first, config, plan))
        self.gateways = {
            str(i): FakeGateway(str(i), folder / f"{i}.sock", self.file, self.history) for i in range(gateways)
        }
        self.versions = GatewayVersions(
            GatewayCalls({index: gateway.socket for index, gateway in self.gateways.items()}),
            self._children,
            committed=1,
            clock=self.time,
            changed=self._on_move,
            pause=self.time.pause,
        )
        self.follower = _Follower(self.history, self.file)
        followers: list[Follower] = [self.follower]
        transition = Transition(
            compose=self._compose,
            plan=self._plan,
            groups=self.groups,
            gateways=self.versions,
            file=self.file,
            followers=followers,
            told=self._on_phase,
            changed=self._on_move,
        )
        self.convergence = Convergence(
            self.source,
            State(document=first, config=config, groups=plan.start),
            transition,
            self.versions,
            clock=self.time,
            wall_clock=lambda: 1000.0 + self.time.now,
            pause=self.time.pause,
        )
        for group in plan.start:
            self.groups.start(group, is_gentle=False)

    def document(self, version: int, models: Mapping[str, str], weight: int = 100) -> Document:
        """Deployment → name of its model; the first has ``weight`` of the traffic, the last one the rest."""
        names = list(models)
        traffic = dict.fromkeys(names, 0) | {names[-1]: 100 - weight}
        traffic[names[0]] = weight if len(names) > 1 else 100
        deployments = {name: {"model": str(self.folder / f"{model}.onnx")} for name, model in models.items()}
        return Document(
            entry=Entry(version=version, at=5.0, by="ada", what="a test"),
            endpoints={"price": {"name": "price", "deployments": deployments, "traffic": traffic}},
        )

    def offer(self, version: int, *, weight: int = 100, **models: str) -> None:
        self.source.offer(self.document(version, models, weight))

    @property
    def status(self) -> dict[str, Any]:
        return self.convergence.status()

    @property
    def sockets(self) -> list[str]:
        """Addresses of workers as far as there is a file."""
        return sorted(f"unix:{path}" for path in self.folder.glob("l-*.sock"))

    @property
    def stopped(self) -> list[str]:
        """Groups that are gone, in order."""
        return [name for name, phase in self.lives if phase == "stopped"]

    @property
    def committed(self) -> Served:
        return read_served(self.file)

    def running(self) -> dict[str, ChildState]:
        """The groups that there are, by name; of two of one name the newer."""
        return {each.spec.name: each.state for each in self.supervisor.children(1)}

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until ``holds``, looked at after everything that happens."""
        while not holds():
            self._moved.clear()
            if holds():
                return
            await self._moved.wait()

    async def settled(self, version: int) -> None:
        """Until ``version`` runs everywhere and nothing is left to do."""
        await self.until(
            lambda: self.convergence.progress.running == version and self.convergence.progress.phase == "settled"
        )

    async def outcome(self, version: int) -> Outcome:
        """What has become of ``version``, when that is known."""
        await self.until(lambda: outcome_of(self.convergence.progress, version) != "pending")
        return outcome_of(self.convergence.progress, version)

    async def refused(self, version: int) -> str:
        """The reason, when that version was refused."""
        await self.until(
            lambda: (
                (progress := self.convergence.progress).phase == "settled"
                and progress.refused is not None
                and progress.refused.version == version
            )
        )
        return str(self.status["reason"])

    async def until_told(self, logs: Sequence[Mapping[str, Any]], event: str) -> None:
        """Wait for an event of the log."""
        while event not in [each["event"] for each in logs]:
            await self.time.pause(0)

    async def loading(self, name: str) -> Child:
        """The group of a slow model, when it loads."""

        def found() -> Child | None:
            return next(
                (c for c in self.supervisor.children(1) if (c.spec.name, c.state.phase) == (name, "loading")), None
            )

        await self.until(lambda: found() is not None)
        child = found()
        assert child is not None
        return child

    def _children(self) -> dict[str, Child]:
        return {each.spec.name.rpartition("/")[2]: each for each in self.supervisor.children(0)}

    def _compose(self, document: Document) -> Config:
        if self.disk_trouble is not None:
            raise self.disk_trouble
        return compose(document, self.folder, self.settings)

    def _plan(self, present: Sequence[Group], config: Config, digests: Mapping[str, str]) -> GroupPlan:
        available = Available(cores=(0,), count=1)
        return plan_groups(present, wanted_groups(config, digests), available, 1, self._sockets.take)

    def _spec_of(self, group: Group, is_gentle: bool) -> ChildSpec:
        script = _LOADS[Path(group.options.model).stem]
        for file in group.files:
            file.touch()
        return child(group.name, script)

    async def _end_gentleness(self, pid: int) -> None:
        self.ended_gentleness.append(pid)

    async def _leave(self, pid: int) -> None:
        os.kill(pid, 0)
        self.stepped_back.append(pid)

    def _on_change(self, state: ChildState) -> None:
        if not state.name.startswith("gateway/"):
            self.lives.append((state.name, state.phase))
        self.groups.note()
        self.versions.note()
        self._moved.set()

    def _on_phase(self, phase: Phase) -> None:
        self.convergence.told(phase)
        self._moved.set()

    def _on_move(self) -> None:
        self.convergence.note()
        self._moved.set()


@asynccontextmanager
async def changing(
    folder: Path, *, gateways: int = 1, limit: float = 30, is_ready: bool = True, **models: str
) -> AsyncIterator[Change]:
    """
    A supervisor that serves ``models`` for the length of the block; everything in it is over within ``limit``.

    Without ``is_ready`` they may still load at its beginning.
    """
    change = Change(folder, models, gateways)
    async with asyncio.timeout(limit), asyncio.TaskGroup() as tasks:
        for gateway in change.gateways.values():
            await gateway.listen()
        supervising = tasks.create_task(change.supervisor.run(change.stop))
        converging = tasks.create_task(change.convergence.run())
        watching = tasks.create_task(_watch(change))
        try:
            await change.until(
                lambda: all(
                    state.is_ready for state in change.supervisor.states if is_ready or "gateway/" in state.name
                )
            )
            await change.until(lambda: set(change.versions.known.values()) == {1})
            yield change
        finally:
            converging.cancel()
            change.stop.set()
            await asyncio.wait([supervising, converging])
            watching.cancel()
            for gateway in change.gateways.values():
                await gateway.vanish()


async def _watch(change: Change) -> None:
    """What only ``progress`` tells of."""
    while True:
        await change.convergence.moved()
        change._moved.set()
