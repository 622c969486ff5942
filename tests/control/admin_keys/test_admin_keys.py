"""Keys and tokens over the admin API, on a real socket with real files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from gateway.auth.bootstrap import StateFiles, prepare_state
from gateway.auth.config import AuthConfig
from gateway.auth.credentials import Credentials
from gateway.control import admin_body
from gateway.control.admin_api import Readiness, serve_admin
from gateway.control.admin_keys import key_routes
from gateway.core.access import Presented, Role
from gateway.core.errors import GatewayError
from gateway.edge.plain_status import plain_status


class Quiet:
    async def readiness(self) -> Readiness:
        return Readiness(True, {})

    async def metrics(self) -> bytes:
        return b""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    json: Any
    headers: dict[str, str] = field(default_factory=dict, compare=False)


class Admin:
    """The admin API of a server with endpoints ``a``, ``b`` and, for tokens, ``t``."""

    def __init__(self, files: StateFiles, session: aiohttp.ClientSession, credentials: Credentials) -> None:
        self.files, self.credentials, self._session = files, credentials, session
        self.key = files.admin_key.read_text().strip()

    async def ask(self, method: str, path: str, body: Any = None, key: str | None = "") -> Reply:
        headers = {} if key is None else {"Authorization": f"Bearer {key or self.key}"}
        is_raw = isinstance(body, bytes | AsyncIterator)
        sent: dict[str, Any] = {"data": body} if is_raw else {"json": body} if body is not None else {}
        async with self._session.request(method, path, headers=headers, **sent) as response:
            text = await response.read()
            return Reply(response.status, await response.json() if text else None, dict(response.headers))

    async def made(self, name: str, **scope: Any) -> str:
        """A fresh key with this scope."""
        reply = await self.ask("POST", "/keys", {"name": name, **scope})
        assert reply.status == 201
        return str(reply.json["key"])

    async def lets_in(self, secret: str, endpoint: str) -> bool:
        """Whether a gateway lets the holder score."""
        try:
            await self.credentials.access(Presented(f"Bearer {secret}"), endpoint, Role.SCORE)
        except GatewayError:
            return False
        return True


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Admin]:
    files = prepare_state(folder)
    credentials = Credentials(files, AuthConfig(token_lifetime_s=600), {"a": "key", "b": "key", "t": "token"})
    async with (
        asyncio.timeout(30),
        serve_admin(Quiet(), port=0, routes=key_routes(credentials.desk, plain_status)) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        yield Admin(files, session, credentials)


ACTIONS: list[tuple[str, str, Any]] = [
    ("GET", "/keys", None),
    ("POST", "/keys", {"name": "x"}),
    ("DELETE", "/keys/demo", None),
    ("POST", "/endpoints/a/listKeys", None),
    ("POST", "/endpoints/a/regenerateKeys", {"keyType": "Primary"}),
    ("POST", "/endpoints/t/token", None),
    ("POST", "/onlineEndpoints/t/token", None),
    ("POST", "/keys", b"\xff not json"),
]


@pytest.mark.parametrize(("method", "path", "body"), ACTIONS)
async def test_nobody_gets_in_without_a_key_or_with_one_that_only_scores(
    tmp_path: Path, method: str, path: str, body: Any
) -> None:
    async with serving(tmp_path) as admin:
        before = admin.files.keys.read_bytes()
        demo = admin.files.demo_key.read_text().strip()
        replies = [await admin.ask(method, path, body, key) for key in (None, "lg_wrong", demo)]

        assert [reply.status for reply in replies] == [401, 401, 403]
        assert [reply.headers["WWW-Authenticate"][:25] for reply in replies] == ['Bearer realm="lockgate"'] + [
            'Bearer realm="lockgate", '
        ] * 2
        assert admin.files.keys.read_bytes() == before


async def test_the_probes_need_no_key(tmp_path: Path) -> None:
    async with serving(tmp_path) as admin:
        assert (await admin.ask("GET", "/readyz", key=None)).status == 200


async def test_a_made_key_opens_its_endpoint_at_once_and_is_shown_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as admin:
        reply = await admin.ask("POST", "/keys", {"name": "ci", "endpoints": ["a"], "expires_in_s": 60})
        secret = reply.json["key"]
        listed = await admin.ask("GET", "/keys")

        assert reply.headers["Cache-Control"] == "no-store"
        assert [await admin.lets_in(secret, name) for name in ("a", "b")] == [True, False]
        assert secret not in str(listed.json)
        assert [key["name"] for key in listed.json["keys"]] == ["demo", "admin", "ci"]


async def test_a_revoked_key_is_refused_after_the_next_look(tmp_path: Path) -> None:
    async with serving(tmp_path) as admin:
        secret = await admin.made("ci")
        await admin.lets_in(secret, "a")
        looks = asyncio.Semaphore(0)
        looked = asyncio.Queue[None]()

        async def pause(seconds: float) -> None:
            if seconds == 60.0:  # until last uses are written
                await asyncio.Event().wait()
            assert seconds <= 0.5, "two looks must fit into the promised second"
            looked.put_nowait(None)
            await looks.acquire()

        following = asyncio.create_task(admin.credentials.run(pause))
        await looked.get()
        reply = await admin.ask("DELETE", "/keys/ci")
        looks.release()
        await looked.get()
        is_in = await admin.lets_in(secret, "a")
        following.cancel()
        await asyncio.wait([following])

        assert (reply.status, is_in) == (204, False)


async def test_azures_regenerate_keys_answers_the_new_one_and_leaves_the_other(tmp_path: Path) -> None:
    async with serving(tmp_path) as admin:
        replies = [
            await admin.ask("POST", path, {"keyType": kind})
            for path, kind in (
                ("/endpoints/a/regenerateKeys", "Primary"),
                ("/endpoints/a/regeneratekeys", "secondary"),
                ("/onlineEndpoints/a/regenerateKeys", "PRIMARY"),
            )
        ]
        admin.credentials._keys.refresh()
        old, second, new = (next(filter(None, reply.json.values())) for reply in replies)

        assert [list(filter(replies[i].json.get, replies[i].json)) for i in range(3)] == [
            ["primaryKey"],
            ["secondaryKey"],
            ["primaryKey"],
        ]
        assert [await admin.lets_in(key, "a") for key in (old, second, new)] == [False, True, True]
        assert not await admin.lets_in(new, "b")


async def test_azures_list_keys_has_its_names_and_tells_about_the_keys_without_showing_them(tmp_path: Path) -> None:
    async with serving(tmp_path) as admin:
        await admin.ask("POST", "/endpoints/a/regenerateKeys", {"keyType": "Primary"})
        reply = await admin.ask("POST", "/endpoints/a/listkeys")

        assert (reply.json["primaryKey"], reply.json["secondaryKey"]) == (None, None)
        assert [key["name"] for key in reply.json["keys"]] == ["a.primary"]


async def test_a_token_in_azures_words_opens_its_endpoint(tmp_path: Path) -> None:
    async with serving(tmp_path) as admin:
        reply = await admin.ask("POST", "/endpoints/t/token")
        token = reply.json["accessToken"]

        assert set(reply.json) == {"accessToken", "expiryTimeUtc", "refreshAfterTimeUtc", "tokenType"}
        assert reply.json["expiryTimeUtc"] - reply.json["refreshAfterTimeUtc"] == 300
        assert [await admin.lets_in(token, name) for name in ("t", "a")] == [True, False]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/endpoints/nope/token", None, 404),
        ("POST", "/endpoints/nope/regenerateKeys", {"keyType": "Primary"}, 404),
        ("POST", "/endpoints/a/token", None, 400),
        ("POST", "/endpoints/t/listKeys", None, 400),
        ("POST", "/endpoints/t/regenerateKeys", {"keyType": "Primary"}, 400),
        ("POST", "/endpoints/a/regenerateKeys", {"keyType": "Third"}, 400),
        ("POST", "/endpoints/a/regenerateKeys", {"keyType": "Primary", "keyValue": "mine"}, 400),
        ("POST", "/keys", {"name": "demo"}, 400),
        ("POST", "/keys", {"name": "x", "roles": ["god"]}, 400),
        ("POST", "/keys", {"name": "x", "endpoints": ["nope"]}, 404),
        ("POST", "/keys", {"name": "x", "lg_secret": 1}, 400),
        ("POST", "/keys", b"{", 400),
        ("DELETE", "/keys/nope", None, 404),
    ],
)
async def test_what_makes_no_sense_is_told_and_not_quoted(
    tmp_path: Path, method: str, path: str, body: Any, status: int
) -> None:
    async with serving(tmp_path) as admin:
        reply = await admin.ask(method, path, body)

        assert reply.status == status
        assert reply.json["error"]["message"]
        assert "lg_secret" not in str(reply.json)


async def test_a_body_that_is_late_may_be_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_body, "_TIMEOUT", 0.0)

    async def begun() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with serving(tmp_path) as admin:
        reply = await admin.ask("POST", "/keys", begun())

    assert "did not arrive in time" in reply.json["error"]["message"]


async def test_whoever_has_the_keys_of_one_endpoint_manages_those_alone(tmp_path: Path) -> None:
    async with serving(tmp_path) as admin:
        of_a = await admin.made("of-a", roles=["keys"], endpoints=["a"])
        statuses = {
            (method, path, str(body)): (await admin.ask(method, path, body, of_a)).status
            for method, path, body in (
                ("POST", "/endpoints/a/regenerateKeys", {"keyType": "Primary"}),
                ("POST", "/endpoints/b/regenerateKeys", {"keyType": "Primary"}),
                ("POST", "/endpoints/t/token", None),
                ("POST", "/keys", {"name": "mine", "endpoints": ["a"]}),
                ("POST", "/keys", {"name": "all"}),
                ("POST", "/keys", {"name": "both", "endpoints": ["a", "b"]}),
                ("POST", "/keys", {"name": "boss", "roles": ["admin"], "endpoints": ["a"]}),
                ("DELETE", "/keys/demo", None),
                ("DELETE", "/keys/admin", None),
                ("DELETE", "/keys/a.primary", None),
            )
        }
        listed = await admin.ask("GET", "/keys", key=of_a)

        assert list(statuses.values()) == [200, 403, 403, 201, 403, 403, 403, 403, 403, 204]
        assert [key["name"] for key in listed.json["keys"]] == ["of-a", "mine"]


async def test_every_change_is_an_audit_event_with_who_and_from_where_and_no_key(tmp_path: Path) -> None:
    async with serving(tmp_path) as admin:
        with capture_logs() as events:
            secrets = [
                await admin.made("ci"),
                (await admin.ask("POST", "/endpoints/a/regenerateKeys", {"keyType": "Primary"})).json["primaryKey"],
                (await admin.ask("POST", "/endpoints/t/token")).json["accessToken"],
            ]
            await admin.ask("DELETE", "/keys/ci")
        audit = [event for event in events if event["event"].startswith("audit.")]

        assert [event["event"] for event in audit] == [
            "audit.key_created",
            "audit.key_regenerated",
            "audit.token_issued",
            "audit.key_revoked",
        ]
        assert {(event["who"], event["where"], event["outcome"]) for event in audit} == {("admin", "127.0.0.1", "done")}
        assert not [secret for secret in [*secrets, admin.key] if secret in str(events)]


async def test_a_key_file_that_cannot_be_read_is_503_and_its_reason_is_in_the_log_alone(tmp_path: Path) -> None:
    async with serving(tmp_path) as admin:
        admin.files.keys.write_text("{")
        with capture_logs() as events:
            reply = await admin.ask("GET", "/keys")

        assert reply.status == 503
        assert str(tmp_path) not in str(reply.json)
        assert str(tmp_path) in str(events)
