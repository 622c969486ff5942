"""
The supervisor's own composition: what runs in the process of ``lockgate serve`` beside its children.

It owns the children, the desired state and the admin API. It serves no request itself, so nothing here is on the way of
one.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import structlog
from rich.console import Console

from gateway.auth.bootstrap import StateFiles
from gateway.auth.credentials import Credentials
from gateway.commands.announce import Announcement
from gateway.commands.child_logs import ChildLogs
from gateway.commands.comparisons import Comparisons
from gateway.commands.convergence import Convergence
from gateway.commands.failed_loads import FailedTold
from gateway.commands.fleet import Fleet
from gateway.commands.gateway_calls import GatewayCalls
from gateway.commands.gateway_versions import GatewayVersions
from gateway.commands.groups import Group, GroupPlan, Sockets, plan_groups, wanted_groups
from gateway.commands.machine import admin_sockets, gateway_specs, group_spec
from gateway.commands.own_store import OwnStore
from gateway.commands.running_groups import RunningGroups
from gateway.commands.settings_watch import SettingsWatch
from gateway.commands.supervisor_routes import supervisor_routes
from gateway.commands.transition import Follower, Phase, State, Transition, served_by
from gateway.config import Config, compose, load_settings, raw_settings
from gateway.control.admin_api import serve_admin
from gateway.control.converted import Converted
from gateway.control.document import Document
from gateway.control.model_files import ModelFiles
from gateway.control.model_guard import ModelGuard
from gateway.control.ran import Ran
from gateway.control.served import write_served
from gateway.control.source import Source
from gateway.control.state_desk import StateDesk
from gateway.core.errors import ConfigError
from workers.affinity import Available, read_available
from workers.child import Child, ChildSpec, ChildState
from workers.supervisor import Supervisor

__all__ = ["Supervising"]

log = structlog.get_logger()

_GATEWAYS, _GROUPS = 0, 1
"""Stages of the supervisor, in the order in which they are stopped."""


class _Callers:
    """Credentials as what follows the running state."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def prepare(self, config: Config) -> None:
        self._credentials.check(config.modes)

    def install(self, config: Config) -> None:
        self._credentials.install(config.modes)


class Supervising:
    """
    One run of ``serve``, from a document that has been checked: ``config`` is what it was composed into.

    ``sockets`` is the folder for them; ``models`` has read the model files of ``document``. What is newer in ``source``
    is a change from there.
    """

    def __init__(
        self,
        source: Source,
        document: Document,
        config: Config,
        models: ModelFiles,
        *,
        ran: Ran,
        files: StateFiles,
        sockets: Path,
        console: Console,
        logs: ChildLogs | None,
    ) -> None:
        self._config, self._files, self._source, self._logs = config, files, source, logs
        settings = config.settings
        admin, names = admin_sockets(settings.gateways, sockets), Sockets(sockets, secrets.token_hex(2))
        available = read_available()

        def plan(present: Sequence[Group], config: Config, digests: Mapping[str, str]) -> GroupPlan:
            return plan_groups(present, wanted_groups(config, digests), available, settings.gateways, names.take)

        converted = Converted()

        def check(document: Document) -> Config:
            return compose(document, config.root, settings, models, converted)

        self._stop = asyncio.Event()
        self._store = OwnStore.where_possible(config, sockets / "store", files.root / "store")
        self._credentials = Credentials(files, settings.auth, config.modes)
        served_file = files.run / "served.json"
        self._supervisor = Supervisor(
            [self._gateways(available, admin, served_file), []],
            random=random.random,
            clock=time.monotonic,
            changed=self._on_change,
            stderr=logs.descriptor if logs else None,
        )
        self._groups = RunningGroups(
            self._supervisor,
            _GROUPS,
            _spec_of,
            clock=time.monotonic,
            gentle_for=settings.control.gentle_load_ms / 1000,
        )
        calls = GatewayCalls(admin)
        self._failed = FailedTold(calls, self._serving_groups, self._gateway_children)
        self._versions = GatewayVersions(
            calls,
            self._gateway_children,
            committed=document.version,
            clock=time.monotonic,
            changed=self._moved,
        )
        followers: list[Follower] = [_Callers(self._credentials), *([self._store] if self._store else [])]
        first = plan([], config, document.models)
        transition = Transition(
            compose=check,
            plan=plan,
            groups=self._groups,
            gateways=self._versions,
            file=served_file,
            followers=followers,
            told=self._told,
            changed=self._moved,
        )
        self._watch = SettingsWatch(
            lambda: raw_settings(load_settings(config.root)),
            raw_settings(load_settings(config.root)),
            self._moved,
        )
        self._convergence = Convergence(
            source,
            State(document=document, config=config, groups=first.start),
            transition,
            self._versions,
            clock=time.monotonic,
            wall_clock=time.time,
            needs_restart=lambda: self._watch.differing,
        )
        self._fleet = Fleet(admin, self._states, self._convergence.status)
        self._comparisons = Comparisons(admin, lambda: self._convergence.running.config.endpoints)
        guard = ModelGuard(settings.control.models, config.root)
        self._desk = StateDesk(
            source, self._credentials.judge, check, models, guard=guard, running=self._convergence, ran=ran
        )
        self._announcement = Announcement(
            console,
            self._stop,
            self._fleet,
            groups=lambda: [self._groups.state(group) for group in first.start],
            gateways=lambda: [child.state for child in self._supervisor.children(_GATEWAYS)],
            clock=time.monotonic,
        )
        # Before any gateway is started: it begins with what stands there.
        try:
            write_served(served_file, served_by(document, config, first))
        except OSError as error:
            raise ConfigError(str(served_file), f"cannot be written: {error.strerror}") from error
        for group in first.start:
            self._groups.start(group, is_gentle=False)

    async def run(self) -> int:
        """Until signalled; returns the exit code. Raises ``ConfigError`` before anything is started."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal, number)
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(
                    serve_admin(
                        self._fleet,
                        port=self._config.settings.admin_port,
                        routes=supervisor_routes(
                            self._credentials,
                            self._comparisons,
                            self._desk,
                            readiness=self._fleet.readiness,
                            children=lambda: self._supervisor.states,
                        ),
                    )
                )
            except OSError as error:
                raise ConfigError("--admin-port", f"cannot be listened on: {error.strerror}") from error
            if self._logs:
                await stack.enter_async_context(self._logs.followed())
            if self._store:
                await stack.enter_async_context(self._store)
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            supervising = tasks.create_task(self._supervisor.run(self._stop), name="supervisor")
            until_stopped = [
                tasks.create_task(self._convergence.run(), name="convergence"),
                tasks.create_task(self._failed.run(), name="failed loads"),
                tasks.create_task(self._watch.run(), name="settings"),
                tasks.create_task(self._desk.run(), name="versions that ran"),
            ]
            stopping = tasks.create_task(self._stop.wait(), name="stop")
            until_gone = [tasks.create_task(self._credentials.run(), name="credentials"), stopping]
            if self._store:
                until_gone.append(tasks.create_task(self._store.run(), name="feature store"))
            # Whoever drains does not start anything new: the change is made by the next start.
            stopping.add_done_callback(lambda _: [task.cancel() for task in until_stopped])
            supervising.add_done_callback(lambda _: [task.cancel() for task in until_gone])
            is_serving = await self._announced()
            if not is_serving:
                self._stop.set()
        return 0 if is_serving else 1

    async def _announced(self) -> bool:
        if not await self._announcement.loaded():
            return False
        if self._store:
            await self._announcement.until(self._store.filled)
        if not self._stop.is_set():
            await self._announcement.serving(self._convergence.running.config, self._files)
            if self._logs:
                self._logs.is_quiet = False
        return True

    def _gateways(self, available: Available, admin: Mapping[str, Path], served: Path) -> list[ChildSpec]:
        edge = self._config.settings.edge
        arguments = [str(self._config.root), "--served", str(served), "--state-dir", str(self._files.root)]
        arguments += ["--host", edge.host, "--port", str(edge.http_port), "--grpc-port", str(edge.grpc_port)]
        if port := self._config.settings.admin_port:  # 0: nobody knows it yet
            arguments += ["--control", f"http://127.0.0.1:{port}"]
        environment = self._store.environment if self._store else {}
        return gateway_specs(self._config.settings, available, admin, arguments, environment)

    def _gateway_children(self) -> dict[str, Child]:
        return {child.spec.name.rpartition("/")[2]: child for child in self._supervisor.children(_GATEWAYS)}

    def _states(self) -> list[ChildState]:
        """Of what serves: groups that load for a change, or have left it behind, are told of elsewhere."""
        gateways = [child.state for child in self._supervisor.children(_GATEWAYS)]
        return [*gateways, *self._serving_groups()]

    def _serving_groups(self) -> list[ChildState]:
        return [self._groups.state(group) for group in self._convergence.running.groups]

    def _told(self, phase: Phase) -> None:
        self._convergence.told(phase)

    def _moved(self) -> None:
        self._convergence.note()

    def _on_change(self, state: ChildState) -> None:
        self._groups.note(state)
        self._versions.note()
        self._failed.note()
        self._announcement.note(state)

    def _on_signal(self, number: signal.Signals) -> None:
        if self._stop.is_set():
            log.warning("serve.killed", signal=number.name)
            self._supervisor.kill()
        else:
            log.info("serve.draining", signal=number.name)
            self._stop.set()
            self._announcement.note()


def _spec_of(group: Group, is_gentle: bool) -> ChildSpec:
    return group_spec(group.name, group.options, is_gentle=is_gentle)
