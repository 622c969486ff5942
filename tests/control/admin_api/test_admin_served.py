"""The calls by which a supervisor brings a gateway to another version, over a real Unix socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest

from gateway.control import admin_body
from gateway.control.admin_api import Readiness, serve_admin
from gateway.control.admin_served import ServedState, served_routes
from gateway.control.served import Served
from gateway.control.source import Conflict
from gateway.core.errors import ConfigError, NotReady
from gateway.edge.plain_status import plain_status

SERVED = Served(version=7, endpoints={}, plan={"e": {"blue": ["unix:/w"]}})


class Played:
    """A gateway that refuses what it is told to."""

    def __init__(self, refusal: str = "", not_now: str = "") -> None:
        self.prepared: Served | None = None
        self._refusal, self._not_now = refusal, not_now

    @property
    def state(self) -> ServedState:
        return ServedState(version=6, prepared=self.prepared.version if self.prepared else None, draining=["unix:/v"])

    async def prepare(self, served: Served) -> None:
        if self._refusal:
            raise ConfigError("endpoints.e", self._refusal)
        if self._not_now:
            raise NotReady(self._not_now)
        self.prepared = served

    async def commit(self, version: int) -> None:
        if self.prepared is None or self.prepared.version != version:
            raise Conflict(version, 6)

    async def abandon(self) -> None:
        self.prepared = None


class Nothing:
    async def readiness(self) -> Readiness:
        return Readiness(True, {})

    async def metrics(self) -> bytes:
        return b""


@asynccontextmanager
async def admin(gateway: Played, folder: Path) -> AsyncIterator[aiohttp.ClientSession]:
    path = folder / "a.sock"
    async with (
        serve_admin(Nothing(), path=path, routes=served_routes(gateway, plain_status)),
        aiohttp.ClientSession("http://gateway", connector=aiohttp.UnixConnector(str(path))) as session,
    ):
        yield session


async def test_what_was_prepared_is_committed(tmp_path: Path) -> None:
    gateway = Played()
    async with admin(gateway, tmp_path) as session:
        async with session.put("/served", data=msgspec.json.encode(SERVED)) as prepared:
            told = prepared.status, await prepared.json()
        async with session.post("/served/commit", json={"version": 7}) as committed:
            done = committed.status, await committed.json()

    assert gateway.prepared == SERVED
    assert [told, done] == [(200, {"version": 7}), (200, {"version": 7})]


async def test_a_refusal_says_why(tmp_path: Path) -> None:
    async with (
        admin(Played(refusal="expected something else"), tmp_path) as session,
        session.put("/served", data=msgspec.json.encode(SERVED)) as answer,
    ):
        assert answer.status == 409
        assert (await answer.json())["error"]["message"] == "endpoints.e: expected something else"


async def test_not_being_able_to_tell_now_is_no_refusal(tmp_path: Path) -> None:
    async with (
        admin(Played(not_now="the gateway is shutting down"), tmp_path) as session,
        session.put("/served", data=msgspec.json.encode(SERVED)) as answer,
    ):
        assert answer.status == 503


async def test_a_commit_of_what_was_not_prepared_is_refused(tmp_path: Path) -> None:
    async with (
        admin(Played(), tmp_path) as session,
        session.post("/served/commit", json={"version": 7}) as answer,
    ):
        assert answer.status == 409


async def test_what_is_abandoned_is_not_prepared_any_more(tmp_path: Path) -> None:
    gateway = Played()
    async with admin(gateway, tmp_path) as session:
        async with session.put("/served", data=msgspec.json.encode(SERVED)):
            pass
        async with session.delete("/served") as answer:
            told = await answer.json()

    assert told == {"version": 6, "prepared": None, "draining": ["unix:/v"], "using": []}


async def test_nonsense_is_refused_with_what_was_expected(tmp_path: Path) -> None:
    async with admin(Played(), tmp_path) as session, session.put("/served", data=b"{}") as answer:
        assert answer.status == 409
        assert "the body: Object missing required field" in await answer.text()


async def test_a_body_that_is_late_says_nothing_about_the_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_body, "_TIMEOUT", 0.0)

    async def begun() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with admin(Played(), tmp_path) as session, session.put("/served", data=begun()) as answer:
        assert answer.status == 503
