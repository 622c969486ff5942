"""The store that ``lockgate serve`` brings along: where it is needed, what is in it, and that it comes back."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from structlog.testing import capture_logs

from feature_cache.embedded import EmbeddedOptions, EmbeddedStore
from feature_cache.keys import key_prefix
from feature_cache.load import load_table
from gateway.commands.own_store import OwnStore
from gateway.config import Config, Settings
from gateway.core.errors import ConfigError
from gateway.features.config import EmbeddedConfig, FeatureStoreConfig, ViewFile
from tests.support.features import view


@pytest.fixture
def folder() -> Iterator[Path]:
    """With a short path: a socket will lie in it."""
    path = Path(tempfile.mkdtemp(prefix="lgo-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def stones(tmp_path: Path) -> ViewFile:
    seed = tmp_path / "stones.csv"
    seed.write_text("stone,carat\n1,0.5\n2,heavy\n3,0.7\n")
    return view("stones", {"stone": "int64"}, {"carat": "float64"}, seed=seed)


def with_cuts(seed: Path, rows: str) -> ViewFile:
    """``stones`` with another column."""
    seed.write_text(f"stone,carat,cut\n{rows}")
    return view("stones", {"stone": "int64"}, {"carat": "float64", "cut": "string"}, seed=seed)


def config(views: dict[str, ViewFile], features: FeatureStoreConfig | None = None) -> Config:
    settings = Settings(features=features or FeatureStoreConfig())
    return Config(root=Path("/"), settings=settings, endpoints={}, views=views)


@pytest.mark.parametrize("variable", ["", "redis://there"])
def test_it_is_there_where_nobody_says_which_store(
    stones: ViewFile, folder: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv("REDIS_URL", variable)
    configured = FeatureStoreConfig(url="redis://here")

    assert OwnStore.where_possible(config({"stones": stones}, configured), folder, folder) is None
    assert (OwnStore.where_possible(config({"stones": stones}), folder, folder) is None) == bool(variable)


@pytest.mark.parametrize("has_views", [True, False])
def test_gateways_are_told_its_address_also_while_there_is_nothing_in_it(
    stones: ViewFile, folder: Path, monkeypatch: pytest.MonkeyPatch, has_views: bool
) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    store = OwnStore.where_possible(config({"stones": stones} if has_views else {}), folder, folder)

    assert store is not None
    assert store.environment == {"REDIS_URL": f"unix://{folder}/store.sock"}


def test_its_memory_and_whether_it_keeps_its_rows_are_settings(
    stones: ViewFile, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    wanted = FeatureStoreConfig(embedded=EmbeddedConfig(max_memory_mb=7, keep=True))
    store = OwnStore.where_possible(config({"stones": stones}, wanted), folder / "s", folder / "kept")
    assert store is not None

    async def settings() -> dict[str, str]:
        async with asyncio.timeout(30), store:
            running = asyncio.create_task(store.run())
            await store.filled.wait()
            running.cancel()
            with redis.Redis.from_url(store.environment["REDIS_URL"], decode_responses=True) as client:
                return dict(client.config_get("maxmemory", "dir"))

    assert asyncio.run(settings()) == {"maxmemory": str(7 * 2**20), "dir": str(folder / "kept")}


async def test_seeds_are_loaded_and_their_bad_rows_told(stones: ViewFile, folder: Path) -> None:
    store = OwnStore(EmbeddedStore(folder), {"stones": stones}, "features")
    with capture_logs() as logs:
        async with asyncio.timeout(30), store:
            running = asyncio.create_task(store.run())
            await store.filled.wait()
            running.cancel()
            with redis.Redis.from_url(store.environment["REDIS_URL"]) as client:
                count = client.dbsize()

    assert count == 2
    assert {"event": "features.filled", "view": "stones", "rows": 2, "log_level": "info"} in logs
    assert [each["first"] for each in logs if each["event"] == "features.rejected"] == [
        ['row 2: feature "carat": expected a number']
    ]


async def test_a_store_that_ends_is_started_and_filled_again(stones: ViewFile, folder: Path) -> None:
    server = EmbeddedStore(folder, EmbeddedOptions(max_memory_mb=8))
    store = OwnStore(server, {"stones": stones}, "features")
    async with asyncio.timeout(30), store:
        running = asyncio.create_task(store.run())
        await store.filled.wait()
        first = server.pid
        store.filled.clear()
        os.kill(first, signal.SIGKILL)
        await store.filled.wait()
        running.cancel()
        with redis.Redis.from_url(server.url) as client:
            count = client.dbsize()

        assert server.pid != first
        assert count == 2


async def test_nobody_finds_it_before_it_is_filled_neither_at_first_nor_again(
    stones: ViewFile, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = EmbeddedStore(folder, EmbeddedOptions(max_memory_mb=8))
    store = OwnStore(server, {"stones": stones}, "features")
    seen = []

    async def load(*arguments: Any, **named: Any) -> Any:
        seen.append(server.socket.exists())
        return await load_table(*arguments, **named)

    monkeypatch.setattr("gateway.commands.own_store.load_table", load)
    async with asyncio.timeout(30), store:
        running = asyncio.create_task(store.run())
        for _ in range(2):
            await store.filled.wait()
            store.filled.clear()
            seen.append(server.socket.exists())
            os.kill(server.pid, signal.SIGKILL)
        await store.filled.wait()
        running.cancel()

    assert seen == [False, True, False, True, False]


async def test_what_was_loaded_into_a_server_that_has_ended_does_not_show_the_next_one(
    stones: ViewFile, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = EmbeddedStore(folder, EmbeddedOptions(max_memory_mb=8))
    store = OwnStore(server, {"stones": stones}, "features")
    start, started = server.start, asyncio.Event()
    seen = []

    async def start_and_tell(**named: Any) -> None:
        await start(**named)
        started.set()

    async def load(*arguments: Any, **named: Any) -> Any:
        seen.append(server.socket.exists())
        done = await load_table(*arguments, **named)
        if len(seen) == 1:
            started.clear()
            os.kill(server.pid, signal.SIGKILL)
            await started.wait()
        return done

    monkeypatch.setattr(server, "start", start_and_tell)
    monkeypatch.setattr("gateway.commands.own_store.load_table", load)
    async with asyncio.timeout(30), store:
        running = asyncio.create_task(store.run())
        for _ in range(2):
            await store.filled.wait()
            store.filled.clear()
        running.cancel()

    assert seen == [False, False]


async def test_a_change_while_it_is_away_does_not_take_the_next_one_for_filled(
    stones: ViewFile, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = EmbeddedStore(folder, EmbeddedOptions(max_memory_mb=8))
    store = OwnStore(server, {"stones": stones}, "features")
    start, is_back = server.start, asyncio.Event()

    async def start_late(**named: Any) -> None:
        store.filled.clear()
        store.install(config({"stones": stones}))
        await store.filled.wait()
        await start(**named)
        store.filled.clear()
        is_back.set()

    async with asyncio.timeout(30), store:
        running = asyncio.create_task(store.run())
        await store.filled.wait()
        monkeypatch.setattr(server, "start", start_late)
        os.kill(server.pid, signal.SIGKILL)
        await is_back.wait()
        await store.filled.wait()
        running.cancel()
        with redis.Redis.from_url(server.url) as client:
            count = client.dbsize()

    assert count == 2


async def test_a_store_that_comes_back_while_gateways_switch_is_not_found_before_it_has_the_new_view(
    stones: ViewFile, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = tmp_path / "cuts.csv"
    seed.write_text("stone,cut\n1,good\n")
    cuts = view("cuts", {"stone": "int64"}, {"cut": "string"}, seed=seed)
    server = EmbeddedStore(folder, EmbeddedOptions(max_memory_mb=8))
    store = OwnStore(server, {"stones": stones}, "features")
    start = server.start

    async def start_late(**named: Any) -> None:
        await store.prepare(config({"stones": stones, "cuts": cuts}))
        await start(**named)
        store.filled.clear()
        is_back.set()

    is_back = asyncio.Event()
    async with asyncio.timeout(30), store:
        running = asyncio.create_task(store.run())
        await store.filled.wait()
        monkeypatch.setattr(server, "start", start_late)
        os.kill(server.pid, signal.SIGKILL)
        await is_back.wait()
        await store.filled.wait()
        running.cancel()
        with redis.Redis.from_url(server.url) as client:
            counts = [len(client.keys(key_prefix(each) + b"*")) for each in (stones, cuts)]

    assert counts == [2, 1]


async def test_a_store_is_not_found_because_the_next_version_of_a_view_is_there_before_the_one_that_is_read(
    stones: ViewFile, tmp_path: Path, folder: Path
) -> None:
    other = with_cuts(tmp_path / "cut.csv", "1,0.5,good\n")
    server = EmbeddedStore(folder, EmbeddedOptions(max_memory_mb=8))
    async with asyncio.timeout(30), OwnStore(server, {"stones": stones}, "features") as store:
        await store.prepare(config({"stones": other}))
        with redis.Redis.from_url(server.url) as client:
            counts = [len(client.keys(key_prefix(each) + b"*")) for each in (stones, other)]

    assert counts == [2, 1]


async def test_a_view_that_goes_back_to_earlier_columns_is_loaded_again(
    stones: ViewFile, tmp_path: Path, folder: Path
) -> None:
    other = with_cuts(tmp_path / "cut.csv", "1,0.5,good\n")
    server = EmbeddedStore(folder, EmbeddedOptions(max_memory_mb=8))
    async with asyncio.timeout(30), OwnStore(server, {"stones": stones}, "features") as store:
        await store.prepare(config({"stones": other}))
        store.install(config({"stones": other}))
        with redis.Redis.from_url(server.url) as client:
            client.flushall()
            await store.prepare(config({"stones": stones}))
            count = client.dbsize()

    assert count == 2


async def test_without_a_program_for_it_nothing_is_started(
    stones: ViewFile, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feature_cache.embedded._PACKAGE", "no-such-package-here")
    monkeypatch.setenv("PATH", "")
    store = OwnStore(EmbeddedStore(folder), {"stones": stones}, "features")

    with pytest.raises(ConfigError, match="install redis-server or valkey-server"):
        await store.__aenter__()


async def test_without_views_no_server_runs_and_nobody_waits_for_one(folder: Path) -> None:
    server = EmbeddedStore(folder)
    async with asyncio.timeout(30), OwnStore(server, {}, "features") as store:
        await store.filled.wait()

        assert not server.is_running


async def test_the_first_view_of_a_reload_starts_it_and_its_rows_are_there_before_it_is_read(
    stones: ViewFile, folder: Path
) -> None:
    server = EmbeddedStore(folder, EmbeddedOptions(max_memory_mb=8))
    async with asyncio.timeout(30), OwnStore(server, {}, "features") as store:
        running = asyncio.create_task(store.run())
        await store.prepare(config({"stones": stones}))
        with redis.Redis.from_url(server.url) as client:
            count = client.dbsize()
        running.cancel()

        assert count == 2


async def test_a_view_that_has_changed_is_left_alone_until_the_new_one_is_read(stones: ViewFile, folder: Path) -> None:
    other = msgspec.structs.replace(stones, seed=stones.seed.with_name("other.csv") if stones.seed else None)
    assert other.seed is not None
    other.seed.write_text("stone,carat\n1,0.5\n2,1.5\n3,0.7\n")
    server = EmbeddedStore(folder, EmbeddedOptions(max_memory_mb=8))
    async with asyncio.timeout(30), OwnStore(server, {"stones": stones}, "features") as store:
        running = asyncio.create_task(store.run())
        await store.filled.wait()
        await store.prepare(config({"stones": other}))
        with redis.Redis.from_url(server.url) as client:
            before = client.dbsize()
            store.filled.clear()
            store.install(config({"stones": other}))
            await store.filled.wait()
            after = client.dbsize()
        running.cancel()

        assert (before, after) == (2, 3)


async def test_a_view_with_other_columns_has_its_rows_before_the_new_one_is_read_and_keeps_the_old_ones(
    stones: ViewFile, tmp_path: Path, folder: Path
) -> None:
    other = with_cuts(tmp_path / "cut.csv", "1,0.5,good\n2,1.5,ideal\n3,0.7,fair\n")
    server = EmbeddedStore(folder, EmbeddedOptions(max_memory_mb=8))
    async with asyncio.timeout(30), OwnStore(server, {"stones": stones}, "features") as store:
        running = asyncio.create_task(store.run())
        await store.filled.wait()
        await store.prepare(config({"stones": other}))
        with redis.Redis.from_url(server.url) as client:
            counts = [len(client.keys(key_prefix(each) + b"*")) for each in (stones, other)]
        running.cancel()

        assert counts == [2, 3]


async def test_a_reload_with_views_is_refused_where_there_is_no_program_for_them(
    stones: ViewFile, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feature_cache.embedded._PACKAGE", "no-such-package-here")
    monkeypatch.setenv("PATH", "")
    store = OwnStore(EmbeddedStore(folder), {}, "features")

    with pytest.raises(ConfigError, match="install redis-server or valkey-server"):
        await store.prepare(config({"stones": stones}))


async def test_a_seed_that_has_gone_meanwhile_is_told_and_ends_nothing(stones: ViewFile, folder: Path) -> None:
    assert stones.seed is not None
    stones.seed.unlink()
    server = EmbeddedStore(folder, EmbeddedOptions(max_memory_mb=8))
    with capture_logs() as logs:
        async with asyncio.timeout(30), OwnStore(server, {}, "features") as store:
            await store.prepare(config({"stones": stones}))

    assert [(each["event"], each["view"]) for each in logs] == [("features.not_filled", "stones")]
