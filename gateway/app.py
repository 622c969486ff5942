"""
The composition root: builds the stack of one gateway process inside-out, starts it, and drains it.

Only this file knows the order of the stages. A request passes them as the picture in docs/architecture.md shows:
edge → admission → auth → routing → features → dispatch → pool. Draining goes from the outside in: readiness turns
false, the listeners stop accepting and what was accepted is answered, then the batches, then the links to the workers.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

import structlog

from gateway.auth.bootstrap import StateFiles
from gateway.auth.credentials import Credentials
from gateway.auth.stage import Authenticate
from gateway.config import Config
from gateway.control.admin_api import serve_admin
from gateway.control.admin_comparison import comparison_routes
from gateway.control.admin_keys import key_routes
from gateway.control.gateway_admin import GatewayAdmin
from gateway.control.registry import Registry
from gateway.core.catalog import Stats
from gateway.core.description import Description
from gateway.core.errors import ConfigError, NotReady
from gateway.core.request import Deployment
from gateway.dispatch.batcher import Batcher
from gateway.dispatch.config import BatchConfig
from gateway.dispatch.stage import Dispatch
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
from gateway.features.features import Features
from gateway.features.handover import Handover
from gateway.features.stage import Complete
from gateway.limits.limits import Limits
from gateway.pool.pool import Pool
from gateway.pool.tls import link_context, refuse_open_links
from gateway.routing.report import MirrorState, report
from gateway.routing.rollout import Rollout
from gateway.routing.stage import Routing
from gateway.routing.table import RouteTable
from gateway.telemetry.metrics import GatewayMetrics
from gateway.telemetry.recorder import Recorder

__all__ = ["App", "Plan"]

Plan = Mapping[str, Mapping[str, Sequence[str]]]
"""Endpoint → deployment → addresses of its workers."""

_STORE_PATIENCE = 1.0
"""Seconds in which the feature store may connect before requests are taken all the same."""

log = structlog.get_logger()

_Key = tuple[str, str]


class App:
    """
    One gateway process. The admin API is served on ``admin_socket``, or on loopback's ``admin_port``.

    Raises ``ConfigError`` for what cannot be served: a certificate that does not fit, a deployment without workers.
    """

    def __init__(
        self,
        config: Config,
        plan: Plan,
        files: StateFiles,
        *,
        admin_socket: Path | None = None,
        admin_port: int | None = None,
    ) -> None:
        self._config = config
        settings = config.settings
        self._edge, self._drain = settings.edge, settings.drain_ms / 1000
        self._admin_socket, self._admin_port = admin_socket, admin_port
        self._is_draining = False
        self._registry = registry = Registry(config.endpoints)
        self._pools: dict[_Key, Pool] = {}
        self._batchers: dict[_Key, Batcher] = {}
        max_rows: dict[_Key, int] = {}
        link = link_context(settings.pool)
        for endpoint, endpoint_config in config.endpoints.items():
            for name, wanted in endpoint_config.deployments.items():
                key = endpoint, name
                addresses = plan.get(endpoint, {}).get(name, ())
                if not addresses:
                    raise ConfigError("plan", f"expected addresses of the workers of {endpoint}/{name}")
                refuse_open_links(settings.pool, addresses)
                pool = Pool(
                    f"{endpoint}/{name}",
                    addresses,
                    settings.pool,
                    on_description=partial(self._described, key),
                    tls=link,
                )
                pool.on_place(partial(self._workers_changed, key))
                self._pools[key] = pool
                max_rows[key] = wanted.max_queue_rows

        only_endpoint = next(iter(config.endpoints)) if len(config.endpoints) == 1 else None
        self._limits = limits = Limits(settings.limits, time.monotonic, only_endpoint=only_endpoint)
        dispatch = limits.charge_rows(Dispatch(self._batcher_of))
        self._features = Features(settings.features.with_url(os.environ), config.endpoints, config.views)
        self._unfit: dict[_Key, str] = {}
        bindings, draw = self._features.current.bindings, random.Random().random  # noqa: S311
        self._rollout = Rollout(
            config.endpoints,
            dispatch,
            lambda inner: Complete(max_rows, inner, bindings),
            deployment_of=self._loaded,
            line_of=self._batcher_of,
            prepare=Handover(config.endpoints, bindings),
            draw=draw,
            clock=time.monotonic,
        )
        self._routing = Routing(
            RouteTable(registry.endpoints(), self._rollout.ways),
            Complete(max_rows, dispatch, bindings),
            clock=time.monotonic,
            draw=draw,
        )
        self._changed = asyncio.Event()
        registry.on_change(self._registry_changed)
        self._credentials = Credentials(
            files, settings.auth, {name: endpoint.auth_mode for name, endpoint in config.endpoints.items()}
        )
        access = limits.slow_failures(self._credentials.access)
        admitted = Admit(
            Authenticate(access, limits.let_in(self._routing)),
            max_in_flight=self._edge.max_in_flight,
            max_bytes=self._edge.max_in_flight_bytes,
        )
        self._recorder = Recorder(registry, time.monotonic)
        self._metrics = GatewayMetrics(
            self._recorder,
            registry,
            self,
            lambda: admitted.in_flight,
            certificate_ends=lambda: self._certificates.ends_at,
            more=[self._features.write, self._rollout.write],
        )
        view, new_id = OipView(registry, access), new_ids()
        intake = Intake(admitted, registry, personality=self._edge.personality, clock=time.monotonic)
        router = HttpRouter(
            [
                *score_routes(intake, registry, access, self._edge),
                *oip_routes(intake, registry, view, self, self._edge, is_ready=lambda: self.is_ready),
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
            admitted,
            registry,
            view,
            self,
            is_ready=lambda: self.is_ready,
            on_done=self._recorder.on_done,
            new_id=new_id,
            clock=time.monotonic,
            server_timing=self._edge.server_timing,
            asks_for_certificates=self._edge.tls.client_auth != "none",
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

    def stats(self, endpoint: str, deployment: str) -> Stats:
        """Implements ``StatsSource``."""
        batcher = self._batchers.get((endpoint, deployment))
        return batcher.stats() if batcher is not None else Stats()

    async def run(self, stop: asyncio.Event, started: Callable[[], None] = lambda: None) -> None:
        """Serve until ``stop`` is set, then drain; calls ``started`` when all listen. ``OSError``: a port is taken."""
        async with AsyncExitStack() as stack:
            admin = GatewayAdmin(
                self._registry,
                self._metrics,
                lambda: self.is_ready,
                lambda: self._certificates.facts,
                lambda: self._features.facts,
            )
            await stack.enter_async_context(
                serve_admin(
                    admin,
                    port=self._admin_port,
                    path=self._admin_socket,
                    # For the supervisor alone: rows of an example may be anybody's.
                    extra={"/examples": admin.examples} if self._admin_socket is not None else {},
                    routes=[
                        *key_routes(self._credentials.desk, plain_status),
                        *comparison_routes(self._credentials.admin, self._compared, report, plain_status),
                    ],
                )
            )
            links = await stack.enter_async_context(asyncio.TaskGroup())
            for pool in self._pools.values():
                links.create_task(pool.run())
            stack.push_async_callback(self._close_pools)
            feeding = links.create_task(self._features.run(), name="features")
            stack.callback(feeding.cancel)
            await self._features.wait_until_ready(_STORE_PATIENCE)
            stack.push_async_callback(self._close_batchers)
            stack.push_async_callback(self._rollout.close)
            for http in self._http:
                await http.start()
                stack.push_async_callback(http.drain, self._drain)
            await self._grpc.start(is_ready=self.is_ready)
            health = links.create_task(self._tell_health(), name="health")
            following = links.create_task(self._credentials.run(), name="credentials")
            renewal = links.create_task(self._certificates.run(), name="certificates")
            sharing = links.create_task(self._limits.run(), name="limits")
            log.info("gateway.started", endpoints=sorted({endpoint for endpoint, _ in self._pools}))
            started()
            await stop.wait()
            self._is_draining = True
            log.info("gateway.draining")
            health.cancel()
            renewal.cancel()
            await asyncio.gather(*(server.drain(self._drain) for server in (self._grpc, *self._http)))
            following.cancel()
            sharing.cancel()
        log.info("gateway.stopped")

    async def _tell_health(self) -> None:
        """The standard gRPC health service follows what ``/readyz`` says."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._grpc.set_ready(is_ready=self.is_ready)

    async def _close_batchers(self) -> None:
        await asyncio.gather(*(batcher.close(self._drain) for batcher in self._batchers.values()))

    async def _close_pools(self) -> None:
        await asyncio.gather(*(pool.close() for pool in self._pools.values()))

    def _described(self, key: _Key, described: Description) -> None:
        try:
            deployment = self._registry.describe(
                *key, described, self._features.current.signature(*key, described.signature)
            )
        except ConfigError as error:
            self._unfit[key] = str(error)
            self._registry.set_ready(*key, False, str(error))
            log.error("gateway.features_do_not_fit", endpoint=key[0], deployment=key[1], error=str(error))
            return
        if key not in self._batchers:
            wanted = self._config.endpoints[deployment.endpoint].deployments[deployment.name]
            batching = BatchConfig(
                max_rows=deployment.max_rows,
                max_queue_rows=max(wanted.max_queue_rows, deployment.max_rows),
                latency_goal_ms=wanted.latency_goal_ms,
            )
            self._batchers[key] = Batcher(
                "/".join(key),
                batching,
                self._pools[key],
                is_idempotent=deployment.is_idempotent and not self._rollout.is_shadow(*key),
            )
        log.info("gateway.deployment_ready", endpoint=key[0], deployment=key[1], platform=described.platform)

    def _registry_changed(self) -> None:
        self._routing.install(RouteTable(self._registry.endpoints(), self._rollout.ways))
        self._changed.set()

    def _workers_changed(self, key: _Key) -> None:
        is_ready = self._pools[key].is_ready and key not in self._unfit
        reason = "" if is_ready else self._unfit.get(key, "no worker can serve at the moment")
        self._registry.set_ready(*key, is_ready, reason)

    def _loaded(self, endpoint: str, name: str) -> Deployment | None:
        return self._registry.endpoint(endpoint).deployments[name].deployment

    async def _compared(self, endpoint: str, _: str | None) -> MirrorState:
        return self._rollout.state(endpoint)

    def _batcher_of(self, deployment: Deployment) -> Batcher:
        batcher = self._batchers.get((deployment.endpoint, deployment.name))
        if batcher is None:
            raise NotReady(f"no worker of {deployment.endpoint}/{deployment.name} has loaded the model yet")
        return batcher
