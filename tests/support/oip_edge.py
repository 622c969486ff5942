"""Both wires of the Open Inference Protocol around one scripted stack, over real sockets and real TLS."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio

from gateway.edge.config import EdgeConfig
from gateway.edge.grpc_engine import GrpcEngine, grpc_server
from gateway.edge.grpc_oip import OipServicer
from gateway.edge.http_engine import HttpEngine, http_server
from gateway.edge.http_exchange import HttpExchange
from gateway.edge.http_intake import Intake
from gateway.edge.http_oip import oip_routes
from gateway.edge.http_router import HttpRouter
from gateway.edge.oip_view import OipView
from gateway.edge.request_id import new_ids
from gateway.edge.tls_reload import Certificates
from gateway.wire.v1.grpc_service_pb2_grpc import GRPCInferenceServiceStub
from tests.support.http_engine import on_engine
from tests.support.oip_stack import KEY, OipStack
from tests.support.tls_files import SecretMount, ServerFiles

__all__ = ["OipEdge", "exchange_of", "servicer_of", "serving"]

_DRIVER = Path(__file__).with_name("triton_driver.py")


@dataclass
class OipEdge:
    """Two running listeners and what is behind them."""

    stack: OipStack
    grpc_server: GrpcEngine
    http_server: HttpEngine
    channel: grpc.aio.Channel
    ca: Path
    certificates: Certificates

    @property
    def stub(self) -> Any:
        return GRPCInferenceServiceStub(self.channel)  # type: ignore[no-untyped-call]

    async def triton(self, *calls: dict[str, Any]) -> list[Any]:
        """What tritonclient makes of these calls; it runs apart, because it registers the same protobuf names."""
        script = {
            "http": f"localhost:{self.http_server.port}",
            "grpc": f"localhost:{self.grpc_server.port}",
            "ca": str(self.ca),
            "key": KEY,
            "calls": calls,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(_DRIVER), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(60):
                output, _ = await process.communicate(json.dumps(script).encode())
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        results: list[Any] = json.loads(output)
        return results


def servicer_of(stack: OipStack, **settings: Any) -> OipServicer:
    """The gRPC service around ``stack``."""
    return OipServicer(
        stack.service,
        stack,
        OipView(stack, stack.access),
        stack,
        is_ready=lambda: stack.is_ready,
        on_done=stack.on_done,
        new_id=new_ids(),
        clock=time.monotonic,
        repository=stack.repository,
        **settings,
    )


def exchange_of(stack: OipStack, config: EdgeConfig | None = None) -> HttpExchange:
    """The HTTP routes around ``stack``."""
    config = config or EdgeConfig()
    intake = Intake(stack.service, stack, personality=config.personality, clock=time.monotonic)
    view = OipView(stack, stack.access)
    routes = oip_routes(
        intake, stack, view, stack, config, is_ready=lambda: stack.is_ready, repository=stack.repository
    )
    return HttpExchange(HttpRouter(routes), new_id=new_ids(), on_done=stack.on_done)


@asynccontextmanager
async def serving(
    folder: Path,
    *,
    stack: OipStack | None = None,
    config: EdgeConfig | None = None,
    is_tls: bool = True,
    server: ServerFiles | SecretMount | None = None,
    **settings: Any,
) -> AsyncIterator[OipEdge]:
    """
    Serves on free ports of the loopback; ``is_tls`` is of the HTTP port, ``settings`` are the servicer's.

    ``server`` has the certificate, else one is made.
    """
    stack = stack or OipStack()
    config = on_engine(config or EdgeConfig(host="localhost", http_port=0, grpc_port=0))
    server = server or ServerFiles.made(folder)
    ca = folder / "ca.pem"
    server.authority.cert_pem.write_to_path(str(ca))
    exchange = exchange_of(stack, config)
    certificates = Certificates(server.files)
    rpc = grpc_server(config, servicer_of(stack, **settings), exchange, certificates)
    context = certificates.context(http2=rpc.http2 is not None) if is_tls else None
    rest = http_server(config, exchange, context, rpc.http2)
    await rpc.start()
    await rest.start()
    credentials = grpc.ssl_channel_credentials(ca.read_bytes())
    try:
        async with grpc.aio.secure_channel(f"localhost:{rpc.port}", credentials) as channel:
            yield OipEdge(stack, rpc, rest, channel, ca, certificates)
    finally:
        await rest.drain(2)
        await rpc.drain(0)
