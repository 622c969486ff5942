"""
``lockgate check``: does everything that ``serve`` would need work, without serving.

Each model is loaded in a worker process of its own, by the same code that serves it, and scores its own example
through the same client. One after the other, so that the times are those of one model on a quiet machine.
"""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from gateway.commands.machine import group_options, group_spec
from gateway.config import Config, load
from gateway.control.endpoints import DeploymentConfig
from gateway.core.errors import GatewayError, WorkerFailed
from gateway.core.payload import Table
from gateway.edge.tls_reload import Certificates, TlsFiles
from gateway.features.assemble import Assembler
from gateway.features.bind import bind
from gateway.pool.pool import Pool
from gateway.pool.tls import link_context
from gateway.telemetry.logs import configure_logs
from workers.child import ChildState
from workers.options import WorkerOptions
from workers.supervisor import Supervisor

__all__ = ["Checked", "check", "check_all"]

_DRAIN_MS = 1000
_SHOWN = 60
"""Characters of an answer that fit into a table."""


@dataclass(slots=True)
class Checked:
    """What was found out about one deployment."""

    endpoint: str
    deployment: str
    runtime: str = ""
    inputs: int = 0
    """Of the model."""
    sends: list[str] = field(default_factory=list)
    """What clients send, where features complete it."""
    outputs: list[str] = field(default_factory=list)
    load_ms: int = 0
    answer: dict[str, Any] | None = None
    """Output → value for the example; None where the model brought no example."""
    error: str = ""


def check(path: Path, timeout: float, console: Console) -> int:
    """Check and print; 0 when all is well, else 1. Raises ``ConfigError`` for a configuration that cannot be read."""
    config = load(path)
    configure_logs("warning")
    _check_certificates(config)
    table = RichTable("endpoint", "deployment", "runtime", "inputs", "outputs", "load ms", "example answer", "")
    with console.status("loading models") if console.is_terminal else nullcontext():
        results = asyncio.run(check_all(config, timeout))
    for found in results:
        untried = "" if found.error else "none: no example"
        told = untried if found.answer is None else json.dumps(found.answer)
        table.add_row(
            found.endpoint,
            found.deployment,
            found.runtime,
            _told_inputs(found),
            ", ".join(found.outputs),
            str(found.load_ms or ""),
            Text(told if len(told) <= _SHOWN else f"{told[:_SHOWN]}…"),
            Text("ok", "green") if not found.error else Text("error", "red"),
        )
    console.print(table)
    for found in results:
        if found.error:
            console.print(Text(f"{found.endpoint}/{found.deployment}: {found.error}"), soft_wrap=True)
    return 1 if any(found.error for found in results) else 0


def _told_inputs(found: Checked) -> str:
    """How many, or what clients send and how many features complete it."""
    if not found.sends:
        return str(found.inputs or "")
    return f"{', '.join(found.sends)} → {found.inputs}"


def _check_certificates(config: Config) -> None:
    """Those that the settings name; what the state directory has is made when something is served."""
    tls = config.settings.edge.tls
    if tls.certificate is not None and tls.key is not None:
        Certificates(TlsFiles(tls.certificate, tls.key, tls.client_ca), tls.client_auth)
    link_context(config.settings.pool)


async def check_all(config: Config, timeout: float) -> list[Checked]:  # noqa: ASYNC109  # of each model, not of the whole
    """Load and try every deployment, in the order of the files."""
    results = []
    for endpoint in config.endpoints.values():
        for name, deployment in endpoint.deployments.items():
            found = Checked(endpoint.name, name)
            try:
                async with asyncio.timeout(timeout):
                    await _Trial(found, deployment, config).run()
            except TimeoutError:
                found.error = found.error or f"the model was not ready within {timeout:g} s"
            except GatewayError as error:
                found.error = str(error)
            results.append(found)
    return results


class _Trial:
    """One deployment in one worker."""

    def __init__(self, found: Checked, deployment: DeploymentConfig, config: Config) -> None:
        self._found, self._deployment, self._config = found, deployment, config
        self._changed = asyncio.Event()

    async def run(self) -> None:
        name = f"{self._found.endpoint}/{self._found.deployment}"
        with tempfile.TemporaryDirectory(prefix="lockgate-check-") as folder:
            address = f"unix:{folder}/w.sock"
            options = group_options(
                self._deployment, [WorkerOptions(name=f"{name}/0", address=address)], drain_ms=_DRAIN_MS
            )
            supervisor = Supervisor(
                [[group_spec(name, options)]], random=random.random, clock=time.monotonic, changed=self._on_change
            )
            pool = Pool(name, [address], self._config.settings.pool, on_description=lambda _: self._changed.set())
            pool.on_place(self._changed.set)
            stop = asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(supervisor.run(stop), name=f"worker of {name}")
                try:
                    await self._until_ready(supervisor.states[0])
                    linking = tasks.create_task(pool.run(), name=f"link to {name}")
                    try:
                        await self._score(pool)
                    finally:
                        await pool.close()
                        await linking
                except GatewayError as error:  # an exception of the task group would hide it
                    self._found.error = str(error)
                finally:
                    stop.set()

    async def _until_ready(self, state: ChildState) -> None:
        while not state.is_ready:
            if state.phase == "failed":
                raise WorkerFailed(state.reason)
            if state.phase == "waiting":
                raise WorkerFailed(f"the worker {state.reason or 'left'} while it loaded the model")
            await self._wait()

    async def _score(self, pool: Pool) -> None:
        while (description := pool.description) is None or not pool.is_ready:
            await self._wait()
        found = self._found
        signature = description.signature
        found.runtime = description.runtime or description.platform
        if description.device not in ("", "cpu"):
            found.runtime += f" on {description.device}"
        found.inputs, found.load_ms = len(signature.inputs), description.load_ms
        found.outputs = [column.name for column in signature.outputs]
        features = self._deployment.features
        if features:
            name = f"{found.endpoint}/{found.deployment}"
            bound = bind(name, signature, features, self._config.views)
            found.sends = [column.name for column in bound.signature.inputs]
        if not signature.example:
            return
        rows = Assembler(signature, 1)(Table(None, [list(signature.example[0])]))
        deadline = asyncio.get_running_loop().time() + self._config.endpoints[found.endpoint].request_timeout_ms / 1000
        scored = await pool.score(rows, deadline)
        found.answer = {name: scored.rows.values(i)[0] for i, name in enumerate(found.outputs)}

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _on_change(self, _: ChildState) -> None:
        self._changed.set()
