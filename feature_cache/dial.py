"""
How a connection is made: with TLS and a credential, to the server that counts at the moment.

For a fixed server that is its address; for a master behind Sentinels it is asked for each time, and the server must
call itself a master.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from feature_cache.address import Address
from feature_cache.connection import Connection, connect
from feature_cache.credentials import Credential, CredentialProvider
from feature_cache.errors import StoreRefused, Unavailable
from feature_cache.resp import Push
from feature_cache.settings import TlsSettings

__all__ = ["Dialer", "tls_context"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialer:
    """What all connections to one store share."""

    clock: Callable[[], float]
    tls: ssl.SSLContext | None
    credentials: CredentialProvider
    db: int
    timeout: float
    must_be_master: bool = False

    async def dial(
        self,
        address: Address,
        on_push: Callable[[Push], None] | None = None,
        on_lost: Callable[[], None] | None = None,
    ) -> tuple[Connection, Credential]:
        """A connection that is ready for commands. Raises ``Unavailable`` or ``StoreRefused``."""
        try:
            async with asyncio.timeout(self.timeout):
                credential = await self.credentials()
        except (OSError, TimeoutError) as error:
            raise Unavailable("no credential for the store") from error
        connection = Connection(self.clock, on_push, on_lost)
        await connect(address, connection, tls=self.tls, credential=credential, db=self.db, timeout=self.timeout)
        if self.must_be_master:
            await self._check_role(address, connection)
        return connection, credential

    async def _check_role(self, address: Address, connection: Connection) -> None:
        try:
            role = await connection.ask("ROLE", timeout=self.timeout)
        except (Unavailable, StoreRefused):
            connection.close()
            raise
        if not isinstance(role, list) or role[:1] != [b"master"]:
            connection.close()
            raise Unavailable(f"{address} is not the master")


def tls_context(settings: TlsSettings) -> ssl.SSLContext:
    """Certificates are always checked. Raises ``OSError`` when a file cannot be read."""
    context = ssl.create_default_context(cafile=settings.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.cert_file is not None:
        context.load_cert_chain(settings.cert_file, settings.key_file)
    return context
