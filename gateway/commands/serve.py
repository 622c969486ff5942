"""
``lockgate serve``: everything on one machine, from an empty directory to endpoints that answer.

Nothing is started before the configuration, the ports and the state directory are known to be good. Then workers and
gateways start together, the models load in view of whoever is watching, and the commands to try are printed. The first
SIGTERM or SIGINT drains; the second does not wait.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import structlog
from rich.console import Console
from rich.text import Text

from gateway.auth.bootstrap import StateFiles, prepare_state
from gateway.auth.credentials import Credentials
from gateway.commands.banner import banner, shown_path
from gateway.commands.child_logs import ChildLogs, child_logs
from gateway.commands.comparisons import Comparisons
from gateway.commands.fleet import Fleet
from gateway.commands.loading import LoadView, load_view
from gateway.commands.machine import Machine, fits
from gateway.commands.own_store import OwnStore
from gateway.commands.ports import refuse_taken_ports
from gateway.config import Config, load
from gateway.control.admin_api import serve_admin
from gateway.control.admin_comparison import comparison_routes
from gateway.control.admin_keys import key_routes
from gateway.core.errors import ConfigError
from gateway.edge.plain_status import plain_status
from gateway.routing.report import report
from gateway.telemetry.logs import configure_logs
from workers.affinity import read_available
from workers.child import ChildState
from workers.supervisor import Supervisor

__all__ = ["ServeOptions", "serve"]

log = structlog.get_logger()

_SETTLED = ("ready", "failed")
_CONNECT = 10.0
"""Seconds in which gateways connect to workers that are ready."""
_POLL = 0.05
_GATEWAY_TRIES = 2
"""Restarts after which a gateway that never listened is not going to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """The command line; None leaves a setting as configured."""

    path: Path
    state_dir: Path
    host: str | None = None
    port: int | None = None
    grpc_port: int | None = None
    admin_port: int | None = None
    gateways: int | None = None

    def apply(self, config: Config) -> Config:
        """The configuration with what the command line says instead. Raises ``ConfigError``."""
        edge = {"host": self.host, "http_port": self.port, "grpc_port": self.grpc_port}
        top = {"admin_port": self.admin_port, "gateways": self.gateways}
        try:
            settings = msgspec.structs.replace(
                config.settings,
                edge=msgspec.structs.replace(config.settings.edge, **_given(edge)),
                **_given(top),
            )
        except ValueError as error:
            raise ConfigError("command line", str(error)) from error
        return msgspec.structs.replace(config, settings=settings)


def serve(options: ServeOptions, console: Console) -> int:
    """Serve until signalled; returns the exit code. Raises ``ConfigError`` before anything is started."""
    config = options.apply(load(options.path))
    configure_logs(config.settings.log_level)
    edge = config.settings.edge
    files = prepare_state(options.state_dir, makes_certificate=edge.tls.certificate is None)
    with _locked(files), _socket_folder(files) as sockets:
        refuse_taken_ports(
            {
                "--port": (edge.host, edge.http_port),
                "--grpc-port": (edge.host, edge.grpc_port),
                "--admin-port": ("127.0.0.1", config.settings.admin_port),
                "edge.plaintext_port": (edge.host, edge.plaintext_port or 0),
            }
        )
        plan_file = files.run / "plan.json"
        arguments = [str(config.root), "--plan", str(plan_file), "--state-dir", str(files.root)]
        arguments += ["--host", edge.host, "--port", str(edge.http_port), "--grpc-port", str(edge.grpc_port)]
        store = OwnStore.where_needed(config, sockets / "store", files.root / "store")
        machine = Machine.plan(
            config, read_available(), sockets, arguments, gateway_env=store.environment if store else None
        )
        plan_file.write_bytes(msgspec.json.encode(machine.addresses))
        with child_logs(console, config.settings.log_level) as logs:
            return asyncio.run(_Serving(config, files, machine, console, logs, store=store).run())


class _Serving:
    """One run of ``serve``."""

    def __init__(
        self,
        config: Config,
        files: StateFiles,
        machine: Machine,
        console: Console,
        logs: ChildLogs | None,
        *,
        store: OwnStore | None,
    ) -> None:
        self._config, self._files, self._console, self._logs, self._store = config, files, console, logs, store
        self._stop, self._changed = asyncio.Event(), asyncio.Event()
        self._view: LoadView | None = None
        self._supervisor = Supervisor(
            [machine.gateways, machine.groups],
            random=random.random,
            clock=time.monotonic,
            changed=self._on_change,
            stderr=logs.descriptor if logs else None,
        )
        self._fleet = Fleet(machine.admin_sockets, lambda: self._supervisor.states)
        self._comparisons = Comparisons(machine.admin_sockets, lambda: config.endpoints)
        self._groups = {spec.name for spec in machine.groups}
        self._credentials = Credentials(
            files, config.settings.auth, {name: endpoint.auth_mode for name, endpoint in config.endpoints.items()}
        )

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal, number)
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(
                    serve_admin(
                        self._fleet,
                        port=self._config.settings.admin_port,
                        routes=[
                            *key_routes(self._credentials.desk, plain_status),
                            *comparison_routes(self._credentials.admin, self._comparisons, report, plain_status),
                        ],
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
            following = tasks.create_task(self._credentials.run(), name="credentials")
            supervising.add_done_callback(lambda _: following.cancel())
            if self._store:
                keeping = tasks.create_task(self._store.run(), name="feature store")
                supervising.add_done_callback(lambda _: keeping.cancel())
            announced = await self._announce()
            if not announced:
                self._stop.set()
        return 0 if announced else 1

    async def _announce(self) -> bool:
        """Follow the loading until it is over; False when nothing at all could be loaded."""
        with load_view(self._console, sorted(self._groups)) as self._view:
            while not self._stop.is_set() and not all(state.phase in _SETTLED for state in self._states()):
                self._changed.clear()
                await self._changed.wait()
        self._view = None
        if self._stop.is_set():
            return True
        failed = [state for state in self._states() if state.phase == "failed"]
        if len(failed) == len(self._groups):
            for state in failed:
                self._say(f"{state.name}: {state.reason}")
            self._say("no model could be loaded")
            return False
        if not await self._wait_for_gateways():
            return False
        await self._wait_for_links()
        if self._store:
            await self._store.filled.wait()
        if not self._stop.is_set():
            readiness = await self._fleet.readiness()
            for line in banner(self._config, self._files, readiness.details, await self._fleet.examples()):
                self._say(line)
            if self._logs:
                self._logs.is_quiet = False
            log.info("serve.ready", ready=readiness.is_ready)
        return True

    async def _wait_for_gateways(self) -> bool:
        """Until all listen; False when one of them cannot start at all."""
        gateways = [state for state in self._supervisor.states if state.name not in self._groups]
        while not self._stop.is_set() and not all(state.is_ready for state in gateways):
            for state in gateways:
                if state.restarts >= _GATEWAY_TRIES and not state.is_ready:
                    self._say(f"{state.name} does not start: {state.reason}")
                    return False
            self._changed.clear()
            await self._changed.wait()
        return True

    async def _wait_for_links(self) -> None:
        """Until the gateways know every deployment that has loaded; they connect within milliseconds of that."""
        deadline = time.monotonic() + _CONNECT
        loaded = {state.name for state in self._states() if state.phase == "ready"}
        while not self._stop.is_set() and time.monotonic() < deadline:
            details = (await self._fleet.readiness()).details
            ready = {
                f"{endpoint}/{name}"
                for endpoint, deployments in details["endpoints"].items()
                for name, state in deployments.items()
                if state["ready"]
            }
            if loaded <= ready:
                return
            await asyncio.sleep(_POLL)

    def _states(self) -> list[ChildState]:
        return [state for state in self._supervisor.states if state.name in self._groups]

    def _on_change(self, state: ChildState) -> None:
        if self._view is not None:
            self._view.update(state)
        self._changed.set()

    def _on_signal(self, number: signal.Signals) -> None:
        if self._stop.is_set():
            log.warning("serve.killed", signal=number.name)
            self._supervisor.kill()
        else:
            log.info("serve.draining", signal=number.name)
            self._stop.set()
            self._changed.set()

    def _say(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)


@contextmanager
def _locked(files: StateFiles) -> Iterator[None]:
    """Two servers in one state directory would take each other's sockets."""
    descriptor = os.open(files.run / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            where = shown_path(files.root)
            raise ConfigError(where, "another lockgate serves from this state directory; use --state-dir") from error
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _socket_folder(files: StateFiles) -> Iterator[Path]:
    """The state directory's own folder, or a temporary one where its path is too long for a socket."""
    if fits(files.run):
        for left_over in files.run.glob("*.sock"):
            left_over.unlink(missing_ok=True)
        yield files.run
        return
    folder = Path(tempfile.mkdtemp(prefix="lockgate-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _given(values: Mapping[str, object]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
