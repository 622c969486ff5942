"""Many requests at once to a real server, by aiohttp."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.support.stack import PATIENCE, Stack

__all__ = ["Came", "Many", "in_flight", "many"]


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
    """A session that opens as many connections as there are requests."""

    def __init__(self, stack: Stack, session: aiohttp.ClientSession) -> None:
        self._stack, self._session = stack, session

    async def score(self, endpoint: str, body: Any, **headers: str) -> Came:
        """``timeout_ms=300`` is the header's."""
        sent = {"x-request-timeout-ms": headers["timeout_ms"]} if "timeout_ms" in headers else {}
        path = f"{self._stack.url}/api/v1/endpoint/{endpoint}/score"
        async with self._session.post(path, json=body, headers=sent) as response:
            return Came(response.status, await response.json(), dict(response.headers))

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
    ):
        yield Many(stack, session)
