"""Many requests at once to a real server, by aiohttp and grpcio."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import grpc.aio

from gateway.wire.v1 import grpc_service_pb2 as wire
from gateway.wire.v1.grpc_service_pb2_grpc import GRPCInferenceServiceStub
from tests.support.stack import PATIENCE, Stack

__all__ = ["Came", "Many", "in_flight", "many", "row_of"]


@dataclass(frozen=True, slots=True)
class Came:
    """One answer."""

    status: int
    json: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def message(self) -> str:
        return str(self.json["error"]["message"])


class Many:
    """A session that opens as many connections as there are requests, and one gRPC channel."""

    def __init__(self, stack: Stack, session: aiohttp.ClientSession, channel: grpc.aio.Channel) -> None:
        self._stack, self._session = stack, session
        self.stub: Any = GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
        self.metadata = [("authorization", f"Bearer {stack.key}")]

    async def score(self, endpoint: str, body: Any, **headers: str) -> Came:
        """``timeout_ms=300`` is the header's."""
        sent = {"x-request-timeout-ms": headers["timeout_ms"]} if "timeout_ms" in headers else {}
        path = f"{self._stack.url}/api/v1/endpoint/{endpoint}/score"
        async with self._session.post(path, json=body, headers=sent) as response:
            return Came(response.status, await response.json(), dict(response.headers))

    async def infer(self, endpoint: str, wt: float, act: str = "none") -> Any:
        """The first output over gRPC for one row of ``tests.support.rough``. Raises ``grpc.aio.AioRpcError``."""
        answer = await self.stub.ModelInfer(row_of(endpoint, wt, act), metadata=self.metadata, timeout=PATIENCE)
        return list(answer.outputs[0].contents.fp64_contents)

    async def in_flight(self, count: int) -> None:
        """Until the gateways answer as many requests at this moment."""
        while await in_flight(self._stack) != count:
            pass


async def in_flight(stack: Stack) -> int:
    """As the metrics say."""
    async with aiohttp.ClientSession() as session, session.get(f"{stack.admin_url}/metrics") as response:
        text = await response.text()
    lines = [line for line in text.splitlines() if line.startswith("lockgate_requests_in_flight{")]
    return sum(int(float(line.rpartition(" ")[2])) for line in lines)


def row_of(endpoint: str, wt: float, act: str = "none") -> wire.ModelInferRequest:
    """A request of one row."""
    request = wire.ModelInferRequest(model_name=endpoint)
    request.inputs.add(name="wt", datatype="FP64", shape=[1]).contents.fp64_contents.append(wt)
    request.inputs.add(name="act", datatype="BYTES", shape=[1]).contents.bytes_contents.append(act.encode())
    return request


@asynccontextmanager
async def many(stack: Stack) -> AsyncIterator[Many]:
    """For the length of the block, which takes a minute at most."""
    context = ssl.create_default_context(cafile=str(stack.ca))
    connector = aiohttp.TCPConnector(ssl=context, limit=0)
    headers = {"Authorization": f"Bearer {stack.key}"}
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with (
        asyncio.timeout(PATIENCE),
        aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout) as session,
        grpc.aio.secure_channel(stack.grpc_target, grpc.ssl_channel_credentials(stack.ca.read_bytes())) as channel,
    ):
        yield Many(stack, session, channel)
