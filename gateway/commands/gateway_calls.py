"""What the supervisor says to its gateways, on their admin sockets; each call is bounded in time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import msgspec

from gateway.commands.admin_socket import Answer, ask
from gateway.control.admin_failed import FailedLoads
from gateway.control.admin_served import ServedState
from gateway.control.served import Served
from gateway.core.errors import GatewayError

__all__ = ["GatewayCalls", "GatewayNotNow", "GatewayRefuses", "GatewaySilent"]

_SHORT = 2.0
"""Seconds for a question."""
_SWITCH = 5.0
"""Seconds for the switch, which is a few assignments in a process that may be busy."""
_UNAVAILABLE = 503
_PREPARE = 45.0
"""Seconds for the preparation: the gateway gives its links to new workers thirty."""


class GatewaySilent(GatewayError):
    """It does not answer: it is not there, or hangs."""


class GatewayRefuses(GatewayError):
    """It answered that it cannot, and why."""


class GatewayNotNow(GatewayError):
    """It answered that it cannot at the moment, and why; that says nothing about what it was asked."""

    retryable = True


class _Error(msgspec.Struct, frozen=True):
    message: str = ""


class _Refusal(msgspec.Struct, frozen=True):
    error: _Error = _Error()


class GatewayCalls:
    """``sockets``: index of a gateway → its admin socket."""

    def __init__(self, sockets: Mapping[str, Path]) -> None:
        self._sockets = sockets

    @property
    def gateways(self) -> list[str]:
        """Their indices."""
        return list(self._sockets)

    async def prepare(self, gateway: str, served: Served) -> None:
        """Raises ``GatewaySilent``, ``GatewayNotNow``, ``GatewayRefuses``."""
        await self._call(gateway, "PUT", "/served", _PREPARE, msgspec.json.encode(served))

    async def commit(self, gateway: str, version: int) -> None:
        """Raises likewise."""
        await self._call(gateway, "POST", "/served/commit", _SWITCH, msgspec.json.encode({"version": version}))

    async def abandon(self, gateway: str) -> None:
        """Raises likewise."""
        await self._call(gateway, "DELETE", "/served", _SWITCH)

    async def failed(self, gateway: str, failed: FailedLoads) -> None:
        """Raises likewise."""
        await self._call(gateway, "PUT", "/failed", _SHORT, msgspec.json.encode(failed))

    async def state(self, gateway: str) -> ServedState:
        """Raises likewise."""
        body = await self._call(gateway, "GET", "/served", _SHORT)
        try:
            return msgspec.json.decode(body, type=ServedState)
        except msgspec.MsgspecError as error:
            raise GatewayRefuses(f"gateway {gateway} did not answer with its state") from error

    async def states(self) -> dict[str, ServedState | None]:
        """Of all at once; None for one that does not answer."""

        async def state(gateway: str) -> ServedState | None:
            try:
                return await self.state(gateway)
            except GatewayError:
                return None

        found = await asyncio.gather(*(state(gateway) for gateway in self._sockets))
        return dict(zip(self._sockets, found, strict=True))

    async def _call(self, gateway: str, method: str, path: str, seconds: float, body: bytes | None = None) -> bytes:
        try:
            answer = await ask(self._sockets[gateway], method, path, seconds, body)
        except OSError as error:  # also no answer in time
            raise GatewaySilent(f"gateway {gateway} does not answer") from error
        if answer.status == _UNAVAILABLE:
            raise GatewayNotNow(f"gateway {gateway}: {_reason(answer)}")
        if answer.status != 200:
            raise GatewayRefuses(f"gateway {gateway}: {_reason(answer)}")
        return answer.body


def _reason(answer: Answer) -> str:
    try:
        return msgspec.json.decode(answer.body, type=_Refusal).error.message or f"status {answer.status}"
    except msgspec.MsgspecError:
        return f"status {answer.status}"
