"""
Fetches a provider's signing keys: its discovery document, and from there its key set (OpenID Connect Discovery §4).

Everything about the way there is distrusted: https only, certificates verified, no redirects, an answer of bounded size
within a deadline, and a document that speaks for the issuer it was asked about.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from gateway.auth.config import OidcConfig
from gateway.auth.jwks import FetchFailed, read_jwks
from gateway.auth.jwt import SigningKey
from gateway.core.errors import ConfigError

__all__ = ["Discovery"]

_MAX_BYTES = 512 * 1024
"""Entra's key set has 10 KiB."""


class Discovery:
    """A ``Fetch`` for one provider. Connections are not kept: there is one fetch a day."""

    def __init__(self, config: OidcConfig) -> None:
        self._issuer, self._discovery, self._jwks_uri = config.issuers[0], config.discovery, config.jwks_uri
        self._timeout = config.timeout_ms / 1000
        self._tls = _trusting(config.ca)

    async def __call__(self) -> Mapping[str, SigningKey]:
        """Raises ``FetchFailed``."""
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=1, force_close=True)
        try:
            # A gateway behind a proxy finds it in its environment, like any other program there.
            async with (
                asyncio.timeout(self._timeout),
                aiohttp.ClientSession(connector=connector, trust_env=True, auto_decompress=False) as session,
            ):
                return read_jwks(await _document(session, self._jwks_uri or await self._found(session)))
        except TimeoutError as error:
            raise FetchFailed(f"no answer within {self._timeout:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise FetchFailed(f"{type(error).__name__}: {error}"[:200]) from error

    async def _found(self, session: aiohttp.ClientSession) -> str:
        document = await _document(session, self._discovery)
        if not isinstance(document, dict) or document.get("issuer") != self._issuer:
            raise FetchFailed(f"{self._discovery} speaks for another issuer")
        found = document.get("jwks_uri")
        if not isinstance(found, str) or not found.startswith("https://"):
            raise FetchFailed(f"{self._discovery}: expected an https jwks_uri")
        return found


async def _document(session: aiohttp.ClientSession, url: str) -> Any:
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    async with session.get(url, allow_redirects=False, headers=headers) as response:
        if response.status != 200:
            raise FetchFailed(f"{url} answered {response.status}")
        body = bytearray()
        # Counted as it arrives: what a header says about the size is a claim.
        async for part in response.content.iter_any():
            body += part
            if len(body) > _MAX_BYTES:
                raise FetchFailed(f"{url} answered with more than {_MAX_BYTES} bytes")
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise FetchFailed(f"{url}: expected JSON") from error


def _trusting(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(str(ca), f"expected certificates in PEM format: {error}") from error
