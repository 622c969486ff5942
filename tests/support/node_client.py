"""
gRPC's client for Node.js in a process of its own: a client that shares no line with grpcio or with us.

``tests/support/node/calls.js`` makes the calls; this tells it which and hands back what became of each.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.support.stack import ROOT

__all__ = ["Ended", "NodeCall", "NodeClient", "node"]

_SCRIPT = ROOT / "tests" / "support" / "node" / "calls.js"
_LINE = 256 << 20

Kind = Literal["unary", "client", "server", "duplex"]


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a call. Of long messages without a schema only the size is told."""

    code: str
    details: str
    initial: list[tuple[str, str | bytes]]
    trailing: list[tuple[str, str | bytes]]
    messages: list[Any]
    ends: int
    """How often its end was announced."""


class NodeCall:
    """One call; ``ended`` and ``heard`` wait."""

    def __init__(self, client: NodeClient, number: int) -> None:
        self._client, self.number = client, number
        self.ended: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self.heard: asyncio.Queue[Any] = asyncio.Queue()
        """Messages as they come, of a call that was started with ``tell``."""

    def cancel(self) -> None:
        self._client.tell({"cancel": self.number})

    def send(self, message: bytes) -> None:
        self._client.tell({"send": self.number, "message": _encoded(message)})

    def half_close(self) -> None:
        self._client.tell({"half_close": self.number})


class NodeClient:
    """Use ``node`` to get one."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._calls: dict[int, NodeCall] = {}
        self._numbers = itertools.count()

    def start(
        self,
        kind: Kind,
        path: str,
        *requests: bytes | int | dict[str, Any],
        metadata: Sequence[tuple[str, str | bytes]] = (),
        timeout: float | None = None,
        is_open: bool = False,
        tell: bool = False,
    ) -> NodeCall:
        """
        A request is bytes, a number of bytes of no interest, or JSON where the schema is known.

        ``is_open`` leaves a stream of requests open, ``tell`` reports answers as they come.
        """
        call = NodeCall(self, next(self._numbers))
        self._calls[call.number] = call
        order: dict[str, Any] = {
            "id": call.number,
            "kind": kind,
            "path": path,
            "requests": [_encoded(request) for request in requests],
            "metadata": [(key, _encoded(value)) for key, value in metadata],
            "open": is_open,
            "tell": tell,
        }
        if timeout is not None:
            order["timeout_ms"] = round(timeout * 1000)
        self.tell(order)
        return call

    async def call(self, kind: Kind, path: str, *requests: bytes | int | dict[str, Any], **options: Any) -> Ended:
        """The same, and what became of it."""
        return await self.start(kind, path, *requests, **options).ended

    def tell(self, order: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")

    async def listen(self) -> None:
        """Until it ends; calls that it did not finish are cancelled here."""
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            fact = json.loads(line)
            call = self._calls[fact.pop("id")]
            if fact.pop("event") == "message":
                call.heard.put_nowait(_decoded(fact["message"]))
                continue
            call.ended.set_result(
                Ended(
                    code=fact["code"],
                    details=fact["details"],
                    initial=_pairs(fact["initial"]),
                    trailing=_pairs(fact["trailing"]),
                    messages=[_decoded(message) for message in fact["messages"]],
                    ends=fact["ends"],
                )
            )
        for call in self._calls.values():
            call.ended.cancel()


@asynccontextmanager
async def node(target: str, ca: Path | None, proto: Path | None = None) -> AsyncIterator[NodeClient]:
    """A client of one server; ``ca`` None for clear text. With ``proto`` its methods take and give JSON."""
    schema = () if proto is None else (str(proto), str(ROOT / "proto"))
    process = await asyncio.create_subprocess_exec(
        "node",
        str(_SCRIPT),
        target,
        "-" if ca is None else str(ca),
        *schema,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE,
    )
    client = NodeClient(process)
    listening = asyncio.create_task(client.listen())
    try:
        yield client
        assert process.stdin is not None
        process.stdin.close()
        code = await process.wait()
        assert code <= 0, f"node ended with {code}"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await listening


def _encoded(message: Any) -> Any:
    return base64.b64encode(message).decode() if isinstance(message, bytes) else message


def _decoded(message: Any) -> Any:
    return base64.b64decode(message) if isinstance(message, str) else message


def _pairs(pairs: list[list[str]]) -> list[tuple[str, str | bytes]]:
    return [(key, base64.b64decode(value) if key.endswith("-bin") else value) for key, value in pairs]
