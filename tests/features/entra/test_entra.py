"""Tokens for the feature store, from services played on real sockets: Entra over TLS, the metadata service without."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web

from feature_cache.errors import Unavailable
from gateway.core.errors import ConfigError
from gateway.features.config import FeatureStoreConfig
from gateway.features.entra import EntraConfig, EntraTokens

OID = "11111111-2222-3333-4444-555555555555"


def token(number: int = 1, **claims: Any) -> str:
    payload = base64.urlsafe_b64encode(json.dumps({"oid": OID, "n": number} | claims).encode()).rstrip(b"=").decode()
    return f"e30.{payload}.sig"


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def answering(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """An HTTP service on loopback; gives its base URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        yield f"{'https' if tls else 'http'}://localhost:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class Metadata:
    """The metadata service; every token is another."""

    def __init__(self, lives: str = "86400") -> None:
        self.asked: list[dict[str, str]] = []
        self.lives = lives

    async def answer(self, request: web.Request) -> web.Response:
        if request.headers.get("Metadata") != "true":
            return web.Response(status=400)
        self.asked.append({"path": request.path, **request.query})
        return web.json_response({"access_token": token(len(self.asked)), "expires_in": self.lives})


async def test_a_managed_identity_shows_its_object_id_and_a_token_until_it_ends() -> None:
    metadata = Metadata()
    async with answering(metadata.answer) as url:
        tokens = EntraTokens(
            EntraConfig(identity="managed", client_id="c1"),
            {"AZURE_POD_IDENTITY_AUTHORITY_HOST": url},
            clock=lambda: 100.0,
        )
        credential = await tokens()

    assert (credential.user, credential.password, credential.expires_at) == (OID, token(1), 86500.0)
    assert metadata.asked == [
        {
            "path": "/metadata/identity/oauth2/token",
            "api-version": "2018-02-01",
            "resource": "https://redis.azure.com",
            "client_id": "c1",
        }
    ]


async def test_a_token_is_kept_until_shortly_before_its_end() -> None:
    metadata, now = Metadata("3600"), [0.0]
    async with answering(metadata.answer) as url:
        environment = {"AZURE_POD_IDENTITY_AUTHORITY_HOST": url}
        tokens = EntraTokens(EntraConfig(identity="managed"), environment, clock=lambda: now[0])
        first, again = await asyncio.gather(tokens(), tokens())
        now[0] = 3299.0
        kept = await tokens()
        now[0] = 3301.0
        renewed = await tokens()

    assert first is again is kept
    assert (renewed.password, len(metadata.asked)) == (token(2), 2)


@pytest.fixture
def ca() -> trustme.CA:
    return trustme.CA()


async def test_workload_identity_exchanges_the_clusters_statement(tmp_path: Path, ca: trustme.CA) -> None:
    asked: list[tuple[str, dict[str, str]]] = []

    async def entra(request: web.Request) -> web.Response:
        asked.append((request.path, {name: str(value) for name, value in (await request.post()).items()}))
        return web.json_response({"access_token": token(), "expires_in": 3599})

    statement = tmp_path / "statement"
    statement.write_text("signed-by-cluster\n")
    served, trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    ca.issue_cert("localhost").configure_cert(served)
    ca.configure_trust(trusted)
    async with answering(entra, served) as url:
        environment = {
            "AZURE_AUTHORITY_HOST": f"{url}/",
            "AZURE_TENANT_ID": "t1",
            "AZURE_CLIENT_ID": "c2",
            "AZURE_FEDERATED_TOKEN_FILE": str(statement),
        }
        credential = await EntraTokens(EntraConfig(identity="workload"), environment, tls=trusted)()

    assert (credential.user, credential.password) == (OID, token())
    assert asked == [
        (
            "/t1/oauth2/v2.0/token",
            {
                "grant_type": "client_credentials",
                "client_id": "c2",
                "scope": "https://redis.azure.com/.default",
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                "client_assertion": "signed-by-cluster",
            },
        )
    ]


async def test_a_certificate_that_is_not_trusted_gets_no_statement(tmp_path: Path, ca: trustme.CA) -> None:
    asked = []

    async def entra(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({})

    statement = tmp_path / "statement"
    statement.write_text("signed-by-cluster")
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(served)
    async with answering(entra, served) as url:
        environment = {
            "AZURE_AUTHORITY_HOST": url,
            "AZURE_TENANT_ID": "t1",
            "AZURE_CLIENT_ID": "c2",
            "AZURE_FEDERATED_TOKEN_FILE": str(statement),
        }
        with pytest.raises(Unavailable):
            await EntraTokens(EntraConfig(identity="workload"), environment)()

    assert asked == []


@pytest.mark.parametrize(
    "answer",
    [
        web.json_response({"error": "secret-echo"}, status=400).body,
        b"[]",
        b"{",
        b'{"access_token": 1, "expires_in": "60"}',
        b'{"access_token": "a.b.c", "expires_in": "60"}',
        json.dumps({"access_token": token(oid=""), "expires_in": "60"}).encode(),
        json.dumps({"access_token": token()}).encode(),
    ],
)
async def test_an_answer_without_a_token_is_unavailable_and_not_repeated(answer: bytes) -> None:
    async def serve(request: web.Request) -> web.Response:
        return web.Response(body=answer, status=400 if b"echo" in answer else 200)

    async with answering(serve) as url:
        tokens = EntraTokens(EntraConfig(identity="managed"), {"AZURE_POD_IDENTITY_AUTHORITY_HOST": url})
        with pytest.raises(Unavailable) as caught:
            await tokens()

    assert "echo" not in str(caught.value)


async def test_a_service_that_does_not_answer_is_given_up_on() -> None:
    left = asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        await left.wait()
        return web.Response()

    async with answering(hang) as url:
        config = EntraConfig(identity="managed", timeout_ms=1)
        with pytest.raises(Unavailable, match="1 ms"):
            await EntraTokens(config, {"AZURE_POD_IDENTITY_AUTHORITY_HOST": url})()
        left.set()


def test_workload_identity_without_its_environment_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="AZURE_TENANT_ID"):
        EntraTokens(EntraConfig(identity="workload"), {"AZURE_CLIENT_ID": "c"})


@pytest.mark.parametrize("url", ["redis://localhost", "rediss://user:secret@localhost"])
def test_a_token_goes_nowhere_in_the_clear_nor_beside_a_password(url: str) -> None:
    with pytest.raises(ValueError, match="entra: expected a url") as caught:
        FeatureStoreConfig(url=url, entra=EntraConfig(identity="managed"))

    assert "secret" not in str(caught.value)


def test_a_url_of_the_environment_is_checked_too() -> None:
    config = FeatureStoreConfig(entra=EntraConfig(identity="managed"))
    with pytest.raises(ValueError, match="entra: expected a url"):
        config.with_url({"REDIS_URL": "redis://localhost"})
