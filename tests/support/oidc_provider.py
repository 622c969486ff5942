"""
An OpenID Connect provider on a real TLS socket, with real keys: publishes them, signs tokens, rotates, and goes away.

Tokens are put together by hand where a library would refuse to: forgeries are what it is for.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import jwt
import trustme
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gateway.auth.config import OidcConfig

__all__ = ["AUDIENCE", "TENANT", "Provider", "SigningPair", "forged", "pair", "providing", "signed"]

TENANT = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490"
AUDIENCE = "https://ml.azure.com"


@dataclass(frozen=True)
class SigningPair:
    """A private key and the name under which its public half is published."""

    kid: str
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    algorithm: str = "RS256"

    def jwk(self, **extra: Any) -> dict[str, Any]:
        public = self.private.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            published: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(public, as_dict=True)
        else:
            published = jwt.algorithms.ECAlgorithm.to_jwk(public, as_dict=True)
        return {**published, "kid": self.kid, "use": "sig", **extra}

    def pem(self) -> bytes:
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )


@lru_cache
def pair(kid: str, algorithm: str = "RS256", bits: int = 2048) -> SigningPair:
    """The same for the same name: making RSA keys takes a while."""
    if algorithm == "ES256":
        return SigningPair(kid, ec.generate_private_key(ec.SECP256R1()), algorithm)
    return SigningPair(kid, rsa.generate_private_key(65537, bits), algorithm)


def signed(claims: Mapping[str, Any], key: SigningPair, **header: Any) -> str:
    """A token of ``key``; ``header`` may say otherwise, as long as PyJWT knows the algorithm."""
    algorithm = header.get("alg", key.algorithm)
    # The layer below the one that checks claims: some are to be wrong.
    return jwt.PyJWS().encode(
        json.dumps(claims).encode(), key.private, algorithm=algorithm, headers={"kid": key.kid, **header}
    )


def forged(header: Mapping[str, Any], claims: Mapping[str, Any], secret: bytes | None = None) -> str:
    """Any header over any claims: without a signature, or with an HMAC of ``secret``."""
    parts = ".".join(_encoded(json.dumps(part).encode()) for part in (header, claims))
    mac = b"" if secret is None else hmac.new(secret, parts.encode(), "sha256").digest()
    return f"{parts}.{_encoded(mac)}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class Provider:
    """A running provider. What it publishes may be changed at any time."""

    port: int
    ca: Path
    keys: list[dict[str, Any]] = field(default_factory=lambda: [pair("first").jwk()])
    fetches: list[str] = field(default_factory=list)
    """Paths that were asked for."""
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by the first of them."""
    is_away: bool = False
    held: asyncio.Event | None = None
    """Answers wait for it."""
    answers: dict[str, web.Response] = field(default_factory=dict)
    """Path → what is answered instead."""

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def v1(self) -> str:
        return f"https://sts.localhost/{TENANT}/"

    @property
    def v2(self) -> str:
        return f"{self.url}/{TENANT}/v2.0"

    def entra(self, **settings: Any) -> OidcConfig:
        """Settings that trust this provider as if it were Entra ID."""
        return OidcConfig(
            **{
                "tenant": TENANT,
                "authority": self.url,
                "authority_v1": "https://sts.localhost",
                "audiences": [AUDIENCE],
                "ca": self.ca,
                "grants": [],
                **settings,
            }
        )

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Those of a good token of version 2; a change to None leaves a claim out."""
        now = int(time.time())
        claims = {"iss": self.v2, "tid": TENANT, "aud": AUDIENCE, "oid": "caller-1", "ver": "2.0"}
        times = {"iat": now, "nbf": now, "exp": now + 3600}
        return {name: value for name, value in {**claims, **times, **changes}.items() if value is not None}

    async def answer(self, request: web.BaseRequest) -> web.Response:
        self.fetches.append(request.path)
        self.asked.set()
        if self.held is not None:
            await self.held.wait()
        if self.is_away:
            return web.Response(status=503)
        if request.path in self.answers:
            return self.answers[request.path]
        if request.path.endswith("/.well-known/openid-configuration"):
            issuer = self.url + request.path.removesuffix("/.well-known/openid-configuration")
            return web.json_response({"issuer": issuer, "jwks_uri": f"{self.url}/keys"})
        if request.path == "/keys":
            return web.json_response({"keys": self.keys})
        return web.Response(status=404)


@asynccontextmanager
async def providing(folder: Path) -> AsyncIterator[Provider]:
    """A provider on a free port of the loopback."""
    authority = trustme.CA()
    ca = folder / "provider-ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    provider = Provider(0, ca)
    server = web.Server(provider.answer)
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0, ssl=context)
    provider.port = listener.sockets[0].getsockname()[1]
    try:
        yield provider
    finally:
        if provider.held is not None:
            provider.held.set()
        listener.close()
        await server.shutdown(1)
