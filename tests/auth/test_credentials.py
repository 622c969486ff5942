"""One process's credentials are opened together, followed together and closed together."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.auth.bootstrap import prepare_state
from gateway.auth.client_certificate import CertificateGrant
from gateway.auth.config import AuthConfig
from gateway.auth.credentials import Credentials
from gateway.auth.key_file import change_keys
from gateway.auth.key_uses import KeyUses
from gateway.auth.sealed_file import locked
from gateway.auth.token import issue_token
from gateway.auth.token_keys import rotate_token_key, signing_key
from gateway.config import load_settings
from gateway.core.access import ClientCertificate, Presented, Role
from gateway.core.errors import ConfigError, Forbidden, NotFound, Unauthenticated

NOW = 1_000_000.0
LOOK, FLUSH = 0.5, 60.0
"""Seconds of the pauses."""


class Opened:
    """Credentials of a fresh state directory, with endpoints ``a`` for keys and ``t`` for tokens."""

    def __init__(self, folder: Path, config: AuthConfig | None = None) -> None:
        self.files = prepare_state(folder)
        self.key = self.files.demo_key.read_text().strip()
        self.credentials = Credentials(
            self.files, config or AuthConfig(), {"a": "key", "t": "token"}, wall_clock=lambda: NOW
        )
        self._paused = {seconds: asyncio.Queue[None]() for seconds in (LOOK, FLUSH)}
        self._go = {seconds: asyncio.Semaphore(0) for seconds in (LOOK, FLUSH)}

    async def ask(self, shown: str, endpoint: str = "a") -> str:
        return (await self.credentials.access(Presented(f"Bearer {shown}"), endpoint, Role.SCORE)).name

    def token(self) -> str:
        key = signing_key(self.files.token_keys, NOW)
        return issue_token(key, "t", "job", now=NOW, lifetime=600).accessToken

    @asynccontextmanager
    async def followed(self, last_flush: float = 10.0) -> AsyncIterator[None]:
        """While the files are followed; they have been looked at ``look`` times."""
        async with asyncio.timeout(10):
            task = asyncio.create_task(self.credentials.run(self._pause, last_flush))
            for paused in self._paused.values():
                await paused.get()
            yield
            task.cancel()
            await asyncio.wait([task])

    async def look(self) -> None:
        self.end_pause(LOOK)
        await self._paused[LOOK].get()

    async def flush(self) -> None:
        self.end_pause(FLUSH)
        await self._paused[FLUSH].get()

    def end_pause(self, seconds: float) -> None:
        self._go[seconds].release()

    async def _pause(self, seconds: float) -> None:
        self._paused[seconds].put_nowait(None)
        await self._go[seconds].acquire()


async def test_a_key_that_was_revoked_is_refused_after_one_look(tmp_path: Path) -> None:
    opened = Opened(tmp_path)
    async with opened.followed():
        before = await opened.ask(opened.key)
        with change_keys(opened.files.keys) as keys:
            keys.clear()
        await opened.look()
        with pytest.raises(Unauthenticated):
            await opened.ask(opened.key)

    assert before == "demo"


async def test_a_revocation_does_not_wait_until_last_uses_are_written(tmp_path: Path) -> None:
    opened = Opened(tmp_path)
    async with opened.followed():
        await opened.ask(opened.key)
        with locked(opened.files.key_uses):  # by another process that writes its own to a slow disk
            opened.end_pause(FLUSH)
            with change_keys(opened.files.keys) as keys:
                keys.clear()
            await opened.look()
            with pytest.raises(Unauthenticated):
                await opened.ask(opened.key)


async def test_tokens_that_were_all_revoked_are_refused_after_one_look(tmp_path: Path) -> None:
    opened = Opened(tmp_path)
    token = opened.token()
    async with opened.followed():
        before = await opened.ask(token, "t")
        rotate_token_key(opened.files.token_keys, NOW, keep_old=False)
        await opened.look()
        with pytest.raises(Unauthenticated):
            await opened.ask(token, "t")
        after = await opened.ask(opened.token(), "t")

    assert (before, after) == ("job", "job")


async def test_last_uses_are_written_once_a_minute_and_at_the_end(tmp_path: Path) -> None:
    opened = Opened(tmp_path)
    uses = KeyUses(opened.files.key_uses)
    async with opened.followed():
        await opened.ask(opened.key)
        await opened.look()
        soon = uses.read()
        await opened.flush()
        later = uses.read()
        await opened.ask(opened.files.admin_key.read_text().strip())
    end = uses.read()

    assert (soon, later, end) == ({}, {"demo": int(NOW)}, {"demo": int(NOW), "admin": int(NOW)})


async def test_a_disk_that_does_not_answer_does_not_hold_up_the_end(tmp_path: Path) -> None:
    opened = Opened(tmp_path)
    uses = opened.files.key_uses
    os.mkfifo(uses)
    async with opened.followed(last_flush=0.05):
        await opened.ask(opened.key)
    os.close(os.open(uses, os.O_WRONLY))  # lets the thread go that still reads it


async def test_refusals_that_were_left_out_are_told_at_the_end(tmp_path: Path) -> None:
    opened = Opened(tmp_path)
    with capture_logs() as events:
        async with opened.followed():
            for _ in range(15):
                with pytest.raises(Unauthenticated):
                    await opened.ask("lg_wrong")

    assert [event["refusals"] for event in events if event["event"] == "audit.refusals_left_out"] == [5]


async def test_client_certificates_count_where_the_settings_say_so(tmp_path: Path) -> None:
    grant = CertificateGrant(san="robot.test", roles=[Role.SCORE])
    shown = Presented(None, ClientCertificate("", ("robot.test",)))
    name = (await Opened(tmp_path, AuthConfig(certificates=[grant])).credentials.access(shown, "a", Role.SCORE)).name
    with pytest.raises(Unauthenticated):
        await Opened(tmp_path).credentials.access(shown, "a", Role.SCORE)

    assert name == "robot.test"


def test_an_endpoint_for_tokens_of_a_provider_needs_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"endpoint e: auth_mode.*auth\.oidc"):
        Credentials(prepare_state(tmp_path), AuthConfig(), {"e": "aad_token"})


async def test_a_mounted_secret_that_the_settings_name_counts(tmp_path: Path) -> None:
    (tmp_path / "lockgate.yaml").write_text("auth: {keys_from: secrets}")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "a.primary").write_text("m" * 40)
    opened = Opened(tmp_path / "state", load_settings(tmp_path).auth)

    assert await opened.ask("m" * 40) == "a.primary"


def test_a_mounted_secret_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="/nowhere: cannot be read"):
        Credentials(prepare_state(tmp_path), AuthConfig(keys_from=Path("/nowhere")), {"a": "key"})


async def test_another_configuration_is_judged_by_at_once_and_by_the_desk_too(tmp_path: Path) -> None:
    opened = Opened(tmp_path)
    admin = Presented(f"Bearer {opened.files.admin_key.read_text().strip()}")
    desk = opened.credentials.desk
    made = (await desk.create(admin, "of-a", [Role.SCORE], ["a"], None))["key"]
    opened.credentials.install({"b": "key"})
    with pytest.raises(NotFound):
        await desk.endpoint_keys(admin, "a")
    with pytest.raises(NotFound):
        await desk.create(admin, "more", [Role.SCORE], ["a"], None)
    regenerated = await desk.regenerate(admin, "b", "primary")
    listed = {key["name"] for key in await desk.keys(admin)}
    opened.credentials.install({"a": "key", "b": "key"})

    assert "of-a" in listed
    assert regenerated["primaryKey"]
    assert await opened.ask(made, "a") == "of-a"


async def test_grants_may_name_endpoints_that_are_not_there_yet(tmp_path: Path) -> None:
    grant = CertificateGrant(san="robot.test", roles=[Role.SCORE], endpoints=["later"])
    opened = Opened(tmp_path, AuthConfig(certificates=[grant]))
    shown = Presented(None, ClientCertificate("", ("robot.test",)))
    with pytest.raises(Forbidden):
        await opened.credentials.access(shown, "a", Role.SCORE)
    opened.credentials.install({"later": "key"})

    assert (await opened.credentials.access(shown, "later", Role.SCORE)).name == "robot.test"
