"""What callers get while a real server is paused, gone, back, or busy with something else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from feature_cache.embedded import EmbeddedOptions, EmbeddedStore, start_embedded
from feature_cache.row import Row, RowState
from feature_cache.settings import CircuitSettings, LocalSettings, StoreSettings
from feature_cache.store import FeatureStore
from tests.support.feature_views import make_view, put
from tests.support.valkey_servers import eventually, paused

VIEW = make_view(on_missing="null", on_stale="stale_ok")
NO_COPY = LocalSettings(max_rows=0)
FOUND, UNAVAILABLE, LAST_KNOWN = RowState.FOUND, RowState.UNAVAILABLE, RowState.LAST_KNOWN


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    """A server that a test may do anything to, with rows 0 to 9."""
    options = EmbeddedOptions(arguments=("--enable-debug-command", "local"))
    async with start_embedded(tmp_path / "s", options) as server:
        fill(server)
        yield server


def fill(server: EmbeddedStore, more: float = 0.0) -> None:
    with Redis(unix_socket_path=str(server.socket)) as client:
        for n in range(10):
            put(client, VIEW, [n], [n + more])


@asynccontextmanager
async def opened(server: EmbeddedStore, **settings: Any) -> AsyncIterator[FeatureStore]:
    """One that is quick to notice and to come back."""
    quick = {
        "timeout_ms": 20.0,
        "ping_ms": 100,
        "min_backoff_ms": 5,
        "max_backoff_ms": 20,
        "circuit": CircuitSettings(open_ms=5, max_open_ms=20),
    }
    async with FeatureStore.open(
        StoreSettings(**{"url": server.url, **quick, **settings}), [VIEW], patience=10
    ) as store:
        yield store


async def answer(store: FeatureStore, n: int = 1) -> Row:
    (row,) = await store.read("driver", [(n,)])
    return row


async def open_circuit(store: FeatureStore) -> None:
    async with asyncio.timeout(10):
        while not store.counters.circuit_opened:
            await answer(store)


async def answers_again(store: FeatureStore, n: int = 1) -> Row:
    async with asyncio.timeout(10):
        while (row := await answer(store, n)).state is not FOUND:  # noqa: ASYNC110 — nothing tells when
            await asyncio.sleep(0.002)
    return row


async def test_a_paused_server_costs_a_caller_its_timeout_and_no_more(own: EmbeddedStore) -> None:
    async with opened(own, local=NO_COPY) as store:
        with paused(own):
            start = time.monotonic()
            row = await answer(store)
            took = time.monotonic() - start

        assert row.state is UNAVAILABLE
        assert row.error == "it has not answered in time"
        assert took < 0.5


async def test_a_caller_s_deadline_shortens_the_timeout(own: EmbeddedStore) -> None:
    async with opened(own, local=NO_COPY, timeout_ms=30_000.0, ping_ms=30_000) as store:
        with paused(own):
            (row,) = await store.read("driver", [(1,)], deadline=time.monotonic() + 0.01)

        assert row.state is UNAVAILABLE


async def test_a_late_answer_is_never_taken_for_anothers(own: EmbeddedStore) -> None:
    async with opened(
        own, local=NO_COPY, connections=1, ping_ms=30_000, circuit=CircuitSettings(failures=1000)
    ) as store:
        with paused(own):
            late = [await answer(store, n) for n in range(5)]
        rows = await asyncio.gather(*(answers_again(store, n) for n in range(5, 10)))

        assert [row.state for row in late] == [UNAVAILABLE] * 5
        assert [row.values for row in rows] == [(float(n),) for n in range(5, 10)]
        await eventually(lambda: store.rows_in_flight == 0)
        assert store.counters.connects == 1


async def test_late_answers_go_into_the_local_copy(own: EmbeddedStore) -> None:
    async with opened(own, ping_ms=30_000) as store:
        with paused(own):
            await answer(store)
        await eventually(lambda: store.peek("driver", [(1,)]))

        assert (store.peek("driver", [(1,)]) or [])[0].values == (1.0,)


async def test_the_circuit_opens_and_then_nobody_waits(own: EmbeddedStore) -> None:
    circuit = CircuitSettings(failures=3, open_ms=60_000, max_open_ms=60_000)
    async with opened(own, local=NO_COPY, circuit=circuit) as store:
        with paused(own):
            await open_circuit(store)
            trips = store.counters.round_trips
            rows = [await answer(store) for _ in range(100)]

            assert {(row.state, row.error) for row in rows} == {(UNAVAILABLE, "it has not answered lately")}
            assert store.counters.round_trips == trips
            assert not store.is_ready
            assert store.problems() != []


async def test_the_circuit_closes_by_itself_when_the_server_answers(own: EmbeddedStore) -> None:
    async with opened(own, local=NO_COPY) as store:
        with paused(own):
            await open_circuit(store)
        await eventually(lambda: store.is_ready)

        assert (await answers_again(store)).values == (1.0,)


async def test_a_server_that_is_busy_with_something_else_is_a_slow_one(own: EmbeddedStore) -> None:
    async with opened(own, local=NO_COPY) as store:
        reader, writer = await asyncio.open_unix_connection(str(own.socket))
        writer.write(b"DEBUG SLEEP 0.3\r\n")
        states = set()
        async with asyncio.timeout(10):
            while UNAVAILABLE not in states:
                states.add((await answer(store)).state)

            assert await reader.readline() == b"+OK\r\n"

        writer.close()

        assert (await answers_again(store)).values == (1.0,)


async def test_a_silent_server_ends_the_use_of_the_local_copy(own: EmbeddedStore) -> None:
    async with opened(own) as store:
        await answer(store)
        with paused(own):
            await eventually(lambda: not store.is_local_copy_on)

            assert store.peek("driver", [(1,)]) is None
            assert (await answer(store)).state is LAST_KNOWN


async def test_the_last_known_row_is_used_where_it_may_be_stale(own: EmbeddedStore) -> None:
    async with opened(own) as store:
        await answer(store)
        own.kill()
        await eventually(lambda: not store.is_local_copy_on)
        rows = await store.read("driver", [(1,), (2,)])

        assert [row.state for row in rows] == [LAST_KNOWN, UNAVAILABLE]
        assert [each.values for each in store.resolve("driver", rows)] == [(1.0,), (None,)]


async def test_the_last_known_row_is_not_used_for_longer_than_allowed(own: EmbeddedStore) -> None:
    async with opened(own, local=LocalSettings(last_known_ms=0)) as store:
        await answer(store)
        own.kill()
        await eventually(lambda: not store.is_local_copy_on)

        assert (await answer(store)).state is UNAVAILABLE


async def test_after_a_restart_rows_are_read_anew_and_none_from_before_is_used(own: EmbeddedStore) -> None:
    async with opened(own) as store:
        await answer(store)
        own.kill()
        await eventually(lambda: not store.is_local_copy_on)
        await own.start()
        fill(own, more=100.0)
        await eventually(lambda: store.is_local_copy_on)

        assert (await answers_again(store)).values == (101.0,)


async def test_under_load_no_read_outlasts_its_deadline_while_the_server_dies_and_comes_back(
    own: EmbeddedStore,
) -> None:
    took: list[float] = []
    states: set[RowState] = set()
    wrong: list[Row] = []

    async def load(store: FeatureStore, is_over: asyncio.Event) -> None:
        n = 0
        while not is_over.is_set():
            n = (n + 1) % 10
            start = time.monotonic()
            row = await answer(store, n)
            took.append(time.monotonic() - start)
            states.add(row.state)
            if row.values and row.values[0] not in (float(n), n + 100.0):
                wrong.append(row)
            await asyncio.sleep(0.001)

    async with opened(own, local=NO_COPY) as store, asyncio.TaskGroup() as tasks:
        is_over = asyncio.Event()
        for _ in range(8):
            tasks.create_task(load(store, is_over))
        await eventually(lambda: FOUND in states)
        with paused(own):
            await eventually(lambda: store.counters.circuit_opened > 0)
        own.kill()
        await eventually(lambda: not store.is_ready)
        await own.start()
        fill(own, more=100.0)
        states.clear()
        await eventually(lambda: FOUND in states)
        is_over.set()

    assert wrong == []
    # 20 ms are theirs; the rest is for a machine that does other things too.
    assert max(took) < 1.0


async def test_a_store_that_is_not_there_yet_is_no_error(tmp_path: Path) -> None:
    server = EmbeddedStore(tmp_path / "s")
    settings = StoreSettings(url=server.url, min_backoff_ms=5, max_backoff_ms=20, timeout_ms=1000)
    async with FeatureStore.open(settings, [VIEW], patience=0) as store:
        row = await answer(store)
        problems = store.problems()
        async with start_embedded(tmp_path / "s") as server:
            fill(server)

            assert row.state is UNAVAILABLE
            assert str(server.socket) in problems[0]
            assert (await answers_again(store)).values == (1.0,)


@pytest.mark.parametrize("host", ["127.0.0.1:1", "no-such-host.invalid", "a" * 70])
async def test_a_store_that_is_nowhere_is_told_and_is_no_error(host: str) -> None:
    settings = StoreSettings(url=f"redis://{host}", timeout_ms=1000)
    async with FeatureStore.open(settings, [VIEW], patience=0) as store:
        await eventually(lambda: host in store.problems()[0])

        assert (await answer(store)).state is UNAVAILABLE
