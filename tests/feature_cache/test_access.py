"""Who we are to the store, and how we know that it is the store: users, tokens, TLS."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from feature_cache.credentials import Credential, CredentialProvider, fixed, renew_at
from feature_cache.embedded import EmbeddedOptions, EmbeddedStore, start_embedded
from feature_cache.errors import Unavailable
from feature_cache.row import RowState
from feature_cache.settings import StoreSettings, TlsSettings
from feature_cache.store import FeatureStore
from tests.support.feature_views import make_view, put
from tests.support.tls_front import start_tls
from tests.support.valkey_servers import eventually

VIEW = make_view(on_missing="null")
RULES = "+get", "+hmget", "+ping", "+client|tracking", "+client|setname", "+hello", "~features:*"


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    """A server with a user ``reader``, password ``first`` or ``second``, who may do what the library needs."""
    async with start_embedded(tmp_path / "s", EmbeddedOptions()) as server:
        with admin(server) as client:
            client.execute_command("ACL", "SETUSER", "reader", "on", ">first", ">second", *RULES)
            put(client, VIEW, [1], [1.0])
        yield server


def admin(server: EmbeddedStore) -> Redis:
    return Redis(unix_socket_path=str(server.socket))


def settings(server: EmbeddedStore, **more: Any) -> StoreSettings:
    quick = {"timeout_ms": 2_000.0, "ping_ms": 100, "min_backoff_ms": 5, "max_backoff_ms": 20, "connections": 1}
    return StoreSettings(**{"url": server.url, **quick, **more})


async def test_a_user_with_the_least_rights_can_read_and_hear_of_changes(guarded: EmbeddedStore) -> None:
    credentials = fixed("reader", "first")
    async with FeatureStore.open(settings(guarded), [VIEW], credentials=credentials, patience=10) as store:
        rows = await store.read("driver", [(1,)])

        assert rows[0].values == (1.0,)
        assert store.is_local_copy_on


async def test_the_user_of_the_url_is_used(guarded: EmbeddedStore) -> None:
    url = guarded.url.replace("unix://", "unix://reader:first@")
    async with FeatureStore.open(settings(guarded, url=url), [VIEW], patience=10) as store:
        await store.read("driver", [(1,)])
        with admin(guarded) as client:
            users = {each["user"] for each in client.client_list() if each["name"] == "lockgate"}

        assert users == {"reader"}


async def test_a_wrong_password_is_told_without_the_password(guarded: EmbeddedStore) -> None:
    credentials = fixed("reader", "hunter2")
    async with FeatureStore.open(settings(guarded), [VIEW], credentials=credentials, patience=0) as store:
        await eventually(lambda: "WRONGPASS" in store.problems()[0])

        assert "hunter2" not in store.problems()[0]


async def test_without_the_right_to_track_there_is_no_local_copy(guarded: EmbeddedStore) -> None:
    with admin(guarded) as client:
        client.execute_command("ACL", "SETUSER", "reader", "-client|tracking")
    credentials = fixed("reader", "first")
    async with FeatureStore.open(settings(guarded), [VIEW], credentials=credentials, patience=0.5) as store:
        await eventually(lambda: store.is_ready)
        rows = await store.read("driver", [(1,)])

        assert rows[0].values == (1.0,)
        assert store.peek("driver", [(1,)]) is None


async def test_a_user_who_may_not_read_is_told_so(guarded: EmbeddedStore) -> None:
    with admin(guarded) as client:
        client.execute_command("ACL", "SETUSER", "reader", "-get")
    credentials = fixed("reader", "first")
    async with FeatureStore.open(settings(guarded), [VIEW], credentials=credentials, patience=10) as store:
        rows = await store.read("driver", [(1,)])

        assert (rows[0].state, rows[0].error) == (RowState.UNAVAILABLE, "it answered NOPERM")
        assert store.counters.refused == 1


def tokens(*passwords: str, lasts: float) -> tuple[CredentialProvider, list[str]]:
    """Gives one password after the other, each good for a while, and says which were asked for."""
    given: list[str] = []

    async def provide() -> Credential:
        given.append(passwords[min(len(given), len(passwords) - 1)])
        return Credential("reader", given[-1], time.monotonic() + lasts)

    return provide, given


def auths(server: EmbeddedStore) -> int:
    """How often AUTH was said, and not as a part of HELLO."""
    with admin(server) as client:
        return int(client.info("commandstats").get("cmdstat_auth", {}).get("calls", 0))


async def test_a_new_token_is_shown_before_the_old_one_ends(guarded: EmbeddedStore) -> None:
    provide, given = tokens("first", "first", "second", lasts=0.2)
    async with FeatureStore.open(settings(guarded), [VIEW], credentials=provide, patience=10) as store:
        await eventually(lambda: given.count("second") >= 2)
        await eventually(lambda: auths(guarded) >= 4)
        rows = await store.read("driver", [(1,)])

        assert rows[0].values == (1.0,)
        # One for reading, one that hears of changes: neither was made anew.
        assert (store.counters.connects, store.counters.flushes) == (1, 0)


async def test_a_provider_that_cannot_give_a_token_is_asked_again(guarded: EmbeddedStore) -> None:
    asked: list[None] = []

    async def provide() -> Credential:
        asked.append(None)
        if len(asked) < 4:
            raise Unavailable("the token service cannot be reached")
        return Credential("reader", "first")

    async with FeatureStore.open(settings(guarded), [VIEW], credentials=provide, patience=10) as store:
        assert store.is_ready


def test_a_credential_is_renewed_after_three_quarters_of_its_time() -> None:
    assert renew_at(Credential("a", "b", expires_at=1400.0), now=1000.0) == 1300.0
    assert renew_at(Credential("a", "b"), now=1000.0) is None


def test_a_credential_never_shows_its_password() -> None:
    assert "hunter2" not in repr(Credential("a", "hunter2"))


async def test_rows_over_tls(guarded: EmbeddedStore, tmp_path: Path) -> None:
    async with start_tls(guarded.socket, tmp_path, wants_client=True) as (port, authority, certificate):
        url = f"rediss://reader:first@localhost:{port}"
        tls = TlsSettings(ca_file=authority, cert_file=certificate)
        async with FeatureStore.open(settings(guarded, url=url, tls=tls), [VIEW], patience=10) as store:
            rows = await store.read("driver", [(1,)])

            assert rows[0].values == (1.0,)
            assert store.is_local_copy_on


@pytest.mark.parametrize(("host", "knows"), [("localhost", False), ("127.0.0.1", True)])
async def test_a_server_that_cannot_show_who_it_is_gets_no_password(
    guarded: EmbeddedStore, tmp_path: Path, host: str, knows: bool
) -> None:
    async with start_tls(guarded.socket, tmp_path) as (port, authority, _):
        url = f"rediss://reader:first@{host}:{port}"
        tls = TlsSettings(ca_file=authority if knows else None)
        async with FeatureStore.open(settings(guarded, url=url, tls=tls), [VIEW], patience=0) as store:
            await eventually(lambda: "certificate verify failed" in store.problems()[0].lower())

            assert not store.is_ready
