"""From a target to a connection on which a server has said that it speaks HTTP/2."""

from __future__ import annotations

import asyncio
import ssl

from h2grpc.client_driver import ClientDriver
from h2grpc.target import Target

__all__ = ["agree", "connect"]


async def connect(
    driver: ClientDriver, target: Target, ssl_context: ssl.SSLContext | None, server_name: str
) -> asyncio.BaseTransport:
    """Gives ``driver`` a transport; ``OSError`` if there is none to be had."""
    loop = asyncio.get_running_loop()
    name = None if ssl_context is None else server_name
    transport: asyncio.BaseTransport
    if target.path is not None:
        transport, _ = await loop.create_unix_connection(
            lambda: driver, target.path, ssl=ssl_context, server_hostname=name
        )
    else:
        transport, _ = await loop.create_connection(
            lambda: driver, target.host, target.port, ssl=ssl_context, server_hostname=name
        )
    return transport


async def agree(driver: ClientDriver, transport: asyncio.BaseTransport) -> None:
    """Until the server has greeted; ``OSError`` if it does not, and the connection is closed however this fails."""
    try:
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() != "h2":
            raise ConnectionError("the server did not choose HTTP/2")
        await driver.greeted
    except BaseException:
        driver.abort()
        raise
    if driver.is_leaving:
        raise ConnectionError(driver.reason)
