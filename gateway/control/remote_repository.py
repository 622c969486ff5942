"""
Loads and unloads models by asking the admin API of the supervisor, with the credential of whoever asked here.

Implements ``gateway.core.repository.Repository``. The caller is judged here first, by the same keys, so that somebody
who guesses is slowed down as everywhere else; what they may do is decided there.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import aiohttp
import msgspec
import structlog
from yarl import URL

from gateway.control.change_errors import ChangeRefused
from gateway.control.source import ReadOnly, SourceUnavailable
from gateway.core.access import Access, Caller, Role
from gateway.core.errors import (
    DeadlineExceeded,
    Forbidden,
    GatewayError,
    InvalidInput,
    NotFound,
    NotReady,
    Unauthenticated,
)
from gateway.core.network import address_of

__all__ = ["RemoteRepository"]

log = structlog.get_logger()

_WAIT = 300
"""Seconds that a model may take to load, and to be known to every gateway."""
_SPARE = 30
_ANSWER = 1024 * 1024
_ERRORS: dict[int, Callable[[str], GatewayError]] = {
    400: InvalidInput,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    405: ReadOnly,
    422: ChangeRefused,
    503: SourceUnavailable,
}


class _Error(msgspec.Struct):
    message: str = ""


class _Answer(msgspec.Struct):
    error: _Error = msgspec.field(default_factory=_Error)


class RemoteRepository:
    """``url`` of the admin API, such as ``http://127.0.0.1:8445``; ``access`` judges callers of it."""

    def __init__(self, url: str, access: Access, *, wait: int = _WAIT) -> None:
        self._url, self._access, self._wait = url.rstrip("/"), access, wait

    async def check(self, model: str, caller: Caller) -> None:
        """See ``Repository``."""
        principal = await self._access(caller, model, Role.DEPLOY)
        # The supervisor's audit trail knows who asks, but only this process knows from where.
        log.info("repository.asked", who=principal.name, where=address_of(caller.peer) or "local", model=model[:64])

    async def load(self, model: str, caller: Caller) -> None:
        """See ``Repository``."""
        await self._ask(model, "load", caller)

    async def unload(self, model: str, caller: Caller) -> None:
        """See ``Repository``."""
        await self._ask(model, "unload", caller)

    async def _ask(self, model: str, verb: str, caller: Caller) -> None:
        url = URL(f"{self._url}/models/{quote(model, safe='')}/{verb}?wait={self._wait}", encoded=True)
        headers = {"Authorization": caller.credential} if caller.credential else {}
        patience = aiohttp.ClientTimeout(total=self._wait + _SPARE)
        try:
            async with (
                aiohttp.ClientSession(timeout=patience) as session,
                session.post(url, headers=headers) as response,
            ):
                status, body = response.status, await response.content.read(_ANSWER)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise NotReady("the server's admin API does not answer at the moment") from error
        if status == 202:
            raise DeadlineExceeded(f'"{model[:64]}" is being {verb}ed, and not everywhere after {self._wait} s')
        if status != 200:
            raise _ERRORS.get(status, GatewayError)(_told(body) or f"the server's admin API answered {status}")


def _told(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Answer).error.message
    except msgspec.MsgspecError:
        return ""
