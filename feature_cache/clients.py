"""
A redis-py client for writers and tools, from the settings that the reader takes too.

The reader has connections of its own, because its cost per row is what it is about; whoever writes a file or asks for
one row takes the library that everybody knows.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.credentials import CredentialProvider as RedisCredentialProvider
from redis.exceptions import RedisClusterException, RedisError

from feature_cache.address import parse_url
from feature_cache.credentials import CredentialProvider
from feature_cache.errors import Unavailable
from feature_cache.settings import StoreSettings, TlsSettings

__all__ = ["open_client"]


@asynccontextmanager
async def open_client(
    settings: StoreSettings, credentials: CredentialProvider | None = None, *, answer_timeout: float = 5.0
) -> AsyncIterator[Any]:
    """
    A client that gives bytes, for the length of the block; it connects when it is first used, to a cluster at once.

    ``credentials`` takes the place of the URL's user and password; ``answer_timeout`` bounds each answer. Raises
    ``Unavailable`` when no node of a cluster answers.
    """
    address = parse_url(settings.url)
    options: dict[str, Any] = {
        "socket_timeout": answer_timeout,
        "socket_connect_timeout": settings.connect_timeout_ms / 1000,
    }
    if credentials is not None:
        options["credential_provider"] = _Provider(credentials)
    else:
        options |= {"username": address.user, "password": address.password}
    if address.tls:
        options |= {"ssl": True, **_tls(settings.tls)}
    servers = address.servers
    client: Any
    watchers: list[Any] = []
    if address.kind == "cluster":
        client = RedisCluster(startup_nodes=[ClusterNode(each.host, each.port) for each in servers], **options)
    elif address.kind == "sentinel":
        # Sentinels have passwords of their own, or none: the URL's are the master's.
        sentinels = Sentinel([(each.host, each.port) for each in servers], socket_timeout=answer_timeout)  # type: ignore[no-untyped-call]
        watchers = sentinels.sentinels
        client = sentinels.master_for(address.master, db=address.db, **options)
    elif servers[0].path:
        client = Redis(unix_socket_path=servers[0].path, db=address.db, **options)
    else:
        client = Redis(host=servers[0].host, port=servers[0].port, db=address.db, **options)
    try:
        if isinstance(client, RedisCluster):
            # Commands that find the nodes unknown each go and look, and close the connections under one another.
            await _look_around(client)
        yield client
    finally:
        for each in (client, *watchers):
            await each.aclose()


async def _look_around(client: RedisCluster) -> None:
    try:
        await client.initialize()
    except (RedisError, RedisClusterException, OSError) as error:
        raise Unavailable(f"the store cannot be reached: {error}") from error


class _Provider(RedisCredentialProvider):
    def __init__(self, provide: CredentialProvider) -> None:
        self._provide = provide

    def get_credentials(self) -> tuple[str, str]:
        raise NotImplementedError("only for asyncio")

    async def get_credentials_async(self) -> tuple[str, str]:
        credential = await self._provide()
        return credential.user or "default", credential.password or ""


def _tls(settings: TlsSettings) -> dict[str, Any]:
    return {
        "ssl_ca_certs": str(settings.ca_file) if settings.ca_file else None,
        "ssl_certfile": str(settings.cert_file) if settings.cert_file else None,
        "ssl_keyfile": str(settings.key_file or settings.cert_file) if settings.cert_file else None,
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        "ssl_min_version": ssl.TLSVersion.TLSv1_2,
    }
