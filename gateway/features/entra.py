"""
Tokens of Entra ID with which this process shows itself to Azure Cache for Redis or Azure Managed Redis.

Two ways to get one, both without a secret of ours. On AKS with workload identity the cluster writes a signed statement
about the pod into a file, and Entra takes it in place of a password (OAuth 2.0 client assertion, RFC 7523). On a
virtual machine or scale set the instance's metadata service hands tokens of its managed identity out. Both are asked
with a deadline, and a token is kept until shortly before its end. The user to show is the identity's object id, which
the token itself names.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import aiohttp
import msgspec

from feature_cache.credentials import Credential
from feature_cache.errors import Unavailable
from gateway.core.bounds import DAY_MS, expect_within
from gateway.core.deadline import Clock
from gateway.core.errors import ConfigError

__all__ = ["EntraConfig", "EntraTokens"]

_RESOURCE = "https://redis.azure.com"
_METADATA = "http://169.254.169.254"
"""Link-local: the packet never leaves the host."""
_METADATA_PATH = "/metadata/identity/oauth2/token"
_AUTHORITY = "https://login.microsoftonline.com/"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_MAX_BYTES = 64 * 1024
_SPARE = 300.0
"""Seconds before a token's end from which on another is asked for."""


class EntraConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which identity shows itself to the feature store."""

    identity: Literal["workload", "managed"]
    """``workload``: as the AKS webhook sets it up in the environment; ``managed``: of the machine."""
    client_id: str = ""
    """Of a user-assigned identity; empty for the pod's or machine's own."""
    timeout_ms: int = 10_000
    """To get a token."""

    def __post_init__(self) -> None:
        expect_within(self, 1, DAY_MS, "timeout_ms")


class EntraTokens:
    """
    A ``feature_cache`` credential provider. Raises ``ConfigError`` where the environment lacks what ``workload`` needs.

    ``clock`` is the one on which the store's connections live; ``tls`` is for tests.
    """

    def __init__(
        self,
        config: EntraConfig,
        environment: Mapping[str, str],
        *,
        clock: Clock = time.monotonic,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._config, self._clock = config, clock
        self._tls = tls or ssl.create_default_context()
        self._kept: Credential | None = None
        self._lock = asyncio.Lock()
        self._metadata = environment.get("AZURE_POD_IDENTITY_AUTHORITY_HOST", _METADATA).rstrip("/")
        self._client = config.client_id
        self._tenant = self._statement = ""
        if config.identity == "workload":
            self._client = self._client or _set(environment, "AZURE_CLIENT_ID")
            self._tenant = _set(environment, "AZURE_TENANT_ID")
            self._statement = _set(environment, "AZURE_FEDERATED_TOKEN_FILE")
        self._authority = environment.get("AZURE_AUTHORITY_HOST", _AUTHORITY).rstrip("/")

    async def __call__(self) -> Credential:
        """One that is good for a while. Raises ``Unavailable``."""
        async with self._lock:  # many connections ask at once after an outage: one question is enough
            kept = self._kept
            if kept is not None and kept.expires_at is not None and kept.expires_at - _SPARE > self._clock():
                return kept
            self._kept = await self._fetch()
            return self._kept

    async def _fetch(self) -> Credential:
        asked = self._clock()
        try:
            async with (
                asyncio.timeout(self._config.timeout_ms / 1000),
                aiohttp.ClientSession(auto_decompress=False, trust_env=self._config.identity == "workload") as session,
            ):
                if self._config.identity == "workload":
                    answer = await self._for_statement(session)
                else:
                    answer = await self._from_metadata(session)
        except TimeoutError:
            raise Unavailable(f"no token from Entra ID within {self._config.timeout_ms} ms") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unavailable(f"no token from Entra ID: {type(error).__name__}") from None
        return _credential(answer, asked)

    async def _for_statement(self, session: aiohttp.ClientSession) -> Any:
        """The statement is read anew each time: the cluster replaces it every hour."""
        form = {
            "grant_type": "client_credentials",
            "client_id": self._client,
            "scope": f"{_RESOURCE}/.default",
            "client_assertion_type": _ASSERTION,
            "client_assertion": (await asyncio.to_thread(Path(self._statement).read_text)).strip(),
        }
        url = f"{self._authority}/{self._tenant}/oauth2/v2.0/token"
        async with session.post(url, data=form, ssl=self._tls, allow_redirects=False) as response:
            return await _body(response)

    async def _from_metadata(self, session: aiohttp.ClientSession) -> Any:
        query = {"api-version": "2018-02-01", "resource": _RESOURCE}
        if self._client:
            query["client_id"] = self._client
        url = f"{self._metadata}{_METADATA_PATH}"
        async with session.get(url, params=query, headers={"Metadata": "true"}, allow_redirects=False) as response:
            return await _body(response)


async def _body(response: aiohttp.ClientResponse) -> Any:
    body = await response.content.read(_MAX_BYTES)
    if response.status != 200:
        # The answer may repeat what was sent: its text is for nobody's log.
        raise Unavailable(f"no token from Entra ID: it answered {response.status}")
    return msgspec.json.decode(body)


def _credential(answer: Any, asked: float) -> Credential:
    if not isinstance(answer, dict):
        raise Unavailable("no token from Entra ID: expected a JSON object")
    token = answer.get("access_token")
    try:
        lives = float(answer["expires_in"])  # the metadata service writes numbers as strings
        user = _object_id(token)
    except (KeyError, TypeError, ValueError):
        raise Unavailable("no token from Entra ID: expected access_token and expires_in") from None
    return Credential(user, token, asked + lives)


def _object_id(token: Any) -> str:
    """From the token's own claims. It came from Entra over a trusted way, and the store checks its signature."""
    if not isinstance(token, str):
        raise TypeError("token")
    payload = token.split(".")[1] if token.count(".") == 2 else ""
    claims = msgspec.json.decode(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    found = claims.get("oid") if isinstance(claims, dict) else None
    if not isinstance(found, str) or not found:
        raise ValueError("oid")
    return found


def _set(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise ConfigError("features.entra", f"expected {name} in the environment, where workload identity puts it")
    return value
