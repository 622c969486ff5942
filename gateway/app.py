"""
The composition root: builds the stack of one gateway process inside-out, starts it, and drains it.

Only this file knows the order of the stages. A request passes them as the picture in docs/architecture.md shows:
edge → admission → auth → routing → features → dispatch → pool. Draining goes from the outside in: readiness turns
false, the listeners stop accepting and what was accepted is answered, then the batches, then the links to the workers.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import structlog

from gateway.auth.bootstrap import StateFiles
from gateway.auth.credentials import Credentials
from gateway.auth.stage import Authenticate
from gateway.config import Config
from gateway.control.admin_api import serve_admin
from gateway.control.admin_comparison import comparison_routes
from gateway.control.admin_failed import failed_routes
from gateway.control.admin_keys import key_routes
from gateway.control.admin_served import served_routes
from gateway.control.gateway_admin import GatewayAdmin
from gateway.control.remote_repository import RemoteRepository
from gateway.control.served import Served
from gateway.core.service import function_of
from gateway.edge.admission import Admit
from gateway.edge.cors import Cors
from gateway.edge.grpc_engine import grpc_server
from gateway.edge.grpc_oip import OipServicer
from gateway.edge.http_engine import http_server, plain_server
from gateway.edge.http_exchange import HttpExchange
from gateway.edge.http_intake import Intake
from gateway.edge.http_mlflow import mlflow_routes
from gateway.edge.http_oip import oip_routes
from gateway.edge.http_router import HttpRouter
from gateway.edge.http_score import score_routes
from gateway.edge.http_vetiver import vetiver_routes
from gateway.edge.oip_view import OipView
from gateway.edge.plain_status import plain_status
from gateway.edge.request_id import new_ids
from gateway.edge.tls_reload import Certificates, TlsFiles
from gateway.limits.limits import Limits
from gateway.routing.report import MirrorState, report, without_inputs
from gateway.serving.reload import Followed, Reload
from gateway.serving.serving import Serving
from gateway.telemetry.metrics import GatewayMetrics
from gateway.telemetry.recorder import Recorder

__all__ = ["App"]

_STORE_PATIENCE = 1.0
"""Seconds in which the feature store may connect before requests are taken all the same."""

log = structlog.get_logger()


class App:
    """
    One gateway process. ``served`` is what ``config`` was made of, and ``followed`` where the next one is found. The
    admin API is served on ``admin_socket``, or on loopback's ``admin_port``; ``control`` is the address of the
    supervisor's, where models are loaded and unloaded.

    Raises ``ConfigError`` for what cannot be served: a certificate that does not fit, a deployment without workers.
    """

    def __init__(
        self,
        config: Config,
        served: Served,
        files: StateFiles,
        followed: Followed,
        *,
        admin_socket: Path | None = None,
        admin_port: int | None = None,
        control: str | None = None,
    ) -> None:
        settings = config.settings
        self._edge, self._drain = settings.edge, settings.drain_ms / 1000
        self._admin_socket, self._admin_port = admin_socket, admin_port
        self._is_draining = False
        self._limits = limits = Limits(settings.limits, time.monotonic)
        self._credentials = Credentials(files, settings.auth, config.modes)
        self._serving = serving = Serving(
            config,
            served,
            credentials=self._credentials,
            limits=limits,
            clock=time.monotonic,
            draw=random.Random().random,  # noqa: S311
        )
        self._reload, self._followed = Reload(serving, config, served), followed
        self._registry = registry = serving.registry
        self._changed = asyncio.Event()
        registry.on_change(self._changed.set)
        access = limits.slow_failures(self._credentials.access)
        admitted = Admit(
            Authenticate(access, limits.let_in(serving.routing), self._credentials.passes),
            max_in_flight=self._edge.max_in_flight,
            max_bytes=self._edge.max_in_flight_bytes,
        )
        service = function_of(admitted)
        self._recorder = Recorder(registry, time.monotonic)
        self._metrics = GatewayMetrics(
            self._recorder,
            registry,
            serving.lines,
            lambda: admitted.in_flight,
            certificate_ends=lambda: self._certificates.ends_at,
            more=[serving.features.write, serving.rollout.write],
        )
        repository = (
            RemoteRepository(control, limits.slow_failures(self._credentials.admin)) if control is not None else None
        )
        view, new_id = OipView(registry, access), new_ids()
        intake = Intake(service, registry, personality=self._edge.personality, clock=time.monotonic)
        router = HttpRouter(
            [
                *score_routes(intake, registry, access, self._edge),
                *oip_routes(
                    intake,
                    registry,
                    view,
                    serving.lines,
                    self._edge,
                    is_ready=lambda: self.is_ready,
                    repository=repository,
                ),
                *mlflow_routes(intake, self._edge, version("lockgate")),
                *vetiver_routes(intake, self._edge, lambda: datetime.now(UTC)),
            ]
        )
        exchange = HttpExchange(
            router,
            new_id=new_id,
            on_done=self._recorder.on_done,
            server_timing=self._edge.server_timing,
            cors=Cors(self._edge.cors_origins) if self._edge.cors_origins else None,
        )
        servicer = OipServicer(
            service,
            registry,
            view,
            serving.lines,
            is_ready=lambda: self.is_ready,
            on_done=self._recorder.on_done,
            new_id=new_id,
            clock=time.monotonic,
            server_timing=self._edge.server_timing,
            asks_for_certificates=self._edge.tls.client_auth != "none",
            repository=repository,
        )
        tls = self._edge.tls
        self._certificates = Certificates(
            TlsFiles(tls.certificate or files.certificate, tls.key or files.private_key, tls.client_ca), tls.client_auth
        )
        self._grpc = grpc_server(self._edge, servicer, exchange, self._certificates)
        http2 = self._grpc.http2
        https = http_server(self._edge, exchange, self._certificates.context(http2=http2 is not None), http2)
        plain = plain_server(self._edge, exchange, http2)
        self._http = [https] if plain is None else [https, plain]

    @property
    def is_ready(self) -> bool:
        """Whether every deployment with traffic can serve; false from the moment that draining starts."""
        return not self._is_draining and self._registry.is_ready

    async def run(self, stop: asyncio.Event, started: Callable[[], None] = lambda: None) -> None:
        """Serve until ``stop`` is set, then drain; calls ``started`` when all listen. ``OSError``: a port is taken."""
        async with AsyncExitStack() as stack:
            serving, admin = self._serving, self._admin()
            private = self._admin_socket is not None  # what only the supervisor can reach, and only it may
            await stack.enter_async_context(
                serve_admin(
                    admin,
                    port=self._admin_port,
                    path=self._admin_socket,
                    # Rows of an example may be anybody's.
                    extra={"/examples": admin.examples} if private else {},
                    routes=[
                        *key_routes(self._credentials.desk, plain_status),
                        *comparison_routes(
                            self._credentials.admin, self._compared, report, without_inputs, plain_status
                        ),
                        *(served_routes(self._reload, plain_status) if private else ()),
                        *(failed_routes(serving.note_failed, plain_status) if private else ()),
                    ],
                )
            )
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            tasks.create_task(serving.run(), name="workers")
            stack.push_async_callback(serving.close)
            feeding = tasks.create_task(serving.features.run(), name="features")
            stack.callback(feeding.cancel)
            await serving.features.wait_until_ready(_STORE_PATIENCE)
            for http in self._http:
                await http.start()
                stack.push_async_callback(http.drain, self._drain)
            await self._grpc.start(is_ready=self.is_ready)
            until_drained = [
                tasks.create_task(self._tell_health(), name="health"),
                tasks.create_task(self._certificates.run(), name="certificates"),
                tasks.create_task(self._reload.follow(self._followed), name="reload"),
            ]
            until_answered = [
                tasks.create_task(self._credentials.run(), name="credentials"),
                tasks.create_task(self._limits.run(), name="limits"),
            ]
            log.info(
                "gateway.started", version=serving.version, endpoints=[each.name for each in self._registry.endpoints()]
            )
            started()
            await stop.wait()
            self._is_draining = True
            log.info("gateway.draining")
            for task in until_drained:
                task.cancel()
            await asyncio.gather(*(server.drain(self._drain) for server in (self._grpc, *self._http)))
            for task in until_answered:
                task.cancel()
        log.info("gateway.stopped")

    def _admin(self) -> GatewayAdmin:
        return GatewayAdmin(
            self._registry,
            self._metrics,
            lambda: self.is_ready,
            {
                "version": lambda: self._serving.version,
                "certificate": lambda: self._certificates.facts,
                "features": lambda: self._serving.features.facts,
            },
        )

    async def _tell_health(self) -> None:
        """The standard gRPC health service follows what ``/readyz`` says."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._grpc.set_ready(is_ready=self.is_ready)

    async def _compared(self, endpoint: str, _: str | None) -> MirrorState:
        return self._serving.rollout.state(endpoint)
