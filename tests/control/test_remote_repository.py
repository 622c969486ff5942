"""Models are loaded and unloaded by asking the supervisor: its real admin API, with real keys."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.auth.config import AuthConfig
from gateway.auth.credentials import Credentials
from gateway.control.change_errors import ChangeRefused
from gateway.control.remote_repository import RemoteRepository
from gateway.control.source import ReadOnly, SourceUnavailable
from gateway.core.access import Presented
from gateway.core.errors import DeadlineExceeded, Forbidden, GatewayError, NotFound, NotReady, Unauthenticated
from tests.support.admin_state import AdminState, serving_state


def repository(admin: AdminState, wait: int = 20) -> RemoteRepository:
    credentials = Credentials(admin.files, AuthConfig(), {"price": "key", "tumor": "key"})
    return RemoteRepository(f"http://127.0.0.1:{admin.port}/", credentials.admin, wait=wait)


def presented(key: str) -> Presented:
    return Presented(f"Bearer {key}")


async def settled(admin: AdminState) -> None:
    await admin.running.waited.wait()
    admin.running.waited.clear()
    admin.running.runs(admin.newest.version)


async def test_unloading_returns_when_every_process_has_done_it(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        asked = asyncio.create_task(repository(admin).unload("price", presented(admin.key)))
        await admin.running.waited.wait()
        was_early = asked.done()
        admin.running.runs(2)
        await asked

        assert not was_early
        assert admin.newest.endpoints["price"]["loaded"] is False
        assert admin.newest.entry.by == "admin"


async def test_loading_gives_the_workers_back(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        for verb in ("unload", "load"):
            asked = asyncio.create_task(getattr(repository(admin), verb)("price", presented(admin.key)))
            await settled(admin)
            await asked

        assert admin.newest.endpoints["price"] == admin.price


async def test_who_may_not_deploy_is_refused_here_and_there(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        reader = presented(await admin.made("reader", "read"))
        here = repository(admin)
        for caller, kind in (
            (presented("lg_wrong"), Unauthenticated),
            (Presented(None), Unauthenticated),
            (reader, Forbidden),
        ):
            with pytest.raises(kind):
                await here.check("price", caller)
            with pytest.raises(kind):
                await here.unload("price", caller)

        assert admin.newest.version == 1


async def test_it_is_noted_from_where_it_was_asked(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        with capture_logs() as logs:
            await repository(admin).check("price", Presented(f"Bearer {admin.key}", None, "ipv4:10.0.0.7:5000"))

        assert logs == [
            {"event": "repository.asked", "log_level": "info", "who": "admin", "where": "10.0.0.7", "model": "price"}
        ]


async def test_a_refusal_keeps_its_reason(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        asked = asyncio.create_task(repository(admin).unload("price", presented(admin.key)))
        await admin.running.waited.wait()
        admin.running.refuses(2, "tumor/blue: no such column")
        with pytest.raises(ChangeRefused, match="tumor/blue: no such column"):
            await asked


async def test_what_is_not_done_in_time_says_so(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        with pytest.raises(DeadlineExceeded, match='"price" is being unloaded'):
            await repository(admin, wait=0).unload("price", presented(admin.key))


@pytest.mark.parametrize(
    ("model", "read_only", "is_gone", "kind"),
    [
        ("nowhere", "", False, NotFound),
        ("a/b?c", "", False, NotFound),
        ("price", "it is declared elsewhere", False, ReadOnly),
        ("price", "", True, SourceUnavailable),
    ],
)
async def test_how_it_failed_there_is_how_it_fails_here(
    tmp_path: Path, model: str, read_only: str, is_gone: bool, kind: type[GatewayError]
) -> None:
    async with serving_state(tmp_path) as admin:
        admin.source.read_only, admin.source.is_gone = read_only, is_gone
        with pytest.raises(kind):
            await repository(admin).unload(model, presented(admin.key))


async def test_nobody_there_is_not_ready(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        here = repository(admin)
    with pytest.raises(NotReady):
        await here.load("price", presented(admin.key))
