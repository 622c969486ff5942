"""
How the links to the workers are kept from strangers: a Unix socket by its directory, TCP by mutual TLS.

On TCP without TLS the rows, and the power to stop a worker, are whoever's on the way; so that is for this machine only,
unless the settings say in words that the network is trusted.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable

from gateway.core.errors import ConfigError
from gateway.pool.config import PoolConfig
from workers.options import is_local
from workers.tls import LinkContext, LinkFiles, LinkTlsError

__all__ = ["link_context", "refuse_open_links"]


def link_context(config: PoolConfig) -> ssl.SSLContext | None:
    """For all links of a process; None where none is configured. Raises ``ConfigError``."""
    tls = config.tls
    if tls is None:
        return None
    try:
        return LinkContext(LinkFiles(tls.ca, tls.certificate, tls.key), is_server=False, server_name=tls.server_name)
    except LinkTlsError as error:
        raise ConfigError("pool.tls", str(error)) from error


def refuse_open_links(config: PoolConfig, addresses: Iterable[str]) -> None:
    """Raises ``ConfigError`` for an address to which rows would travel in clear text."""
    if config.tls is not None or config.insecure:
        return
    for address in addresses:
        if not is_local(address):
            raise ConfigError(
                "pool.tls",
                f"expected certificates for {address}, which is not on this machine; "
                "pool.insecure: true sends rows there in clear text",
            )
