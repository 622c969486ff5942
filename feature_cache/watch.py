"""
Keeps an eye on one connection until it ends: asks now and then whether anybody is there, and shows a new token in time.

A server that is stopped, or a network that swallows packets, breaks no connection; only an unanswered PING tells.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from feature_cache.connection import Connection
from feature_cache.credentials import Credential, CredentialProvider, renew_at
from feature_cache.errors import StoreRefused, Unavailable

__all__ = ["watch"]


async def watch(
    connection: Connection,
    lost: asyncio.Event,
    *,
    credential: Credential,
    credentials: CredentialProvider,
    ping: float,
    clock: Callable[[], float],
) -> None:
    """Returns when the connection is lost; closes it when a PING has no answer or a new credential is refused."""
    renewal = renew_at(credential, clock())
    try:
        while not lost.is_set():
            now = clock()
            pause = ping if renewal is None else min(ping, max(0.0, renewal - now))
            try:
                async with asyncio.timeout(pause):
                    await lost.wait()
                return
            except TimeoutError:
                pass
            if renewal is not None and clock() >= renewal:
                async with asyncio.timeout(ping):
                    credential = await credentials()
                if credential.password is not None:
                    await connection.ask("AUTH", credential.user or "default", credential.password, timeout=ping)
                renewal = renew_at(credential, clock())
            else:
                await connection.ask("PING", timeout=ping)
    except (Unavailable, StoreRefused, OSError):
        pass
    finally:
        connection.close()
