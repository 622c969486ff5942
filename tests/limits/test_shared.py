"""Several gateways and one store: together they let through what one would."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from gateway.core.access import Principal
from gateway.core.errors import ConfigError, Overloaded
from gateway.limits.budget import Budget, Budgets
from gateway.limits.config import LimitsConfig
from gateway.limits.shared import SharedLimits, client_for
from tests.support.valkey import Valkey, private_valkey

ANNA = Principal("anna")


class Gateway:
    """One process's budgets, shared by hand."""

    def __init__(self, url: str, **limits: Any) -> None:
        self.now = 100.0
        self.config = LimitsConfig(redis_url=url, **limits)
        self.budgets = Budgets(self.config, lambda: self.now)
        client = client_for(self.config)
        assert client is not None
        self.client: Redis = client
        self.shared = SharedLimits(client, lambda: self.now)

    def budget(self, principal: Principal = ANNA) -> Budget:
        budget = self.budgets.of(principal, None)
        assert budget is not None
        return budget

    def ask(self, principal: Principal = ANNA, size: int = 0) -> bool:
        budget = self.budget(principal)
        try:
            budget.enter(size, self.now)
        except Overloaded:
            return False
        self.shared.used(budget)
        return True

    def level(self, principal: Principal = ANNA) -> float:
        bucket = self.budget(principal).buckets[0]
        assert bucket is not None
        return bucket.level


def gateways(valkey: Valkey, count: int = 2, **limits: Any) -> list[Gateway]:
    return [Gateway(valkey.url, **limits) for _ in range(count)]


async def test_what_one_gateway_gave_away_the_other_does_not_have(valkey: Valkey) -> None:
    one, other = gateways(valkey, requests_per_s=0.01, burst_s=1000)  # ten at once
    for _ in range(7):
        assert one.ask()
    await one.shared.share()
    assert other.ask()
    await other.shared.share()

    assert round(other.level()) == 2
    assert [other.ask() for _ in range(4)] == [True, True, False, False]
    await asyncio.gather(one.client.aclose(), other.client.aclose())


async def test_what_both_gave_away_at_once_is_owed_by_both(valkey: Valkey) -> None:
    pair = gateways(valkey, requests_per_s=0.01, burst_s=500)  # five at once
    for gateway in pair:
        assert [gateway.ask() for _ in range(6)] == [True] * 5 + [False]
    for gateway in [*pair, *pair]:
        await gateway.shared.share()
        gateway.shared.used(gateway.budget())

    assert [round(gateway.level()) for gateway in pair] == [-5, -5]
    await asyncio.gather(*(gateway.client.aclose() for gateway in pair))


async def test_callers_and_kinds_of_limits_are_kept_apart_in_the_store(valkey: Valkey) -> None:
    (gateway,) = gateways(valkey, 1, requests_per_s=0.001, bytes_per_s=0.001)
    bert = Principal("bert")
    gateway.ask(ANNA, size=100)
    gateway.ask(bert)
    await gateway.shared.share()

    anna, other = (gateway.budget(each).buckets[2] for each in (ANNA, bert))
    assert anna is not None
    assert other is not None
    assert (round(anna.level), round(other.level)) == (-99, 1)
    await gateway.client.aclose()


async def test_no_name_of_a_caller_stands_in_the_store_and_nothing_stays_for_ever(valkey: Valkey) -> None:
    (gateway,) = gateways(valkey, 1, requests_per_s=10)
    gateway.ask(Principal("anna@example.org"))
    await gateway.shared.share()
    with valkey.client() as client:
        keys = client.keys("*")
        lives = [client.pttl(key) for key in keys]

    assert len(keys) == 1
    assert b"anna" not in keys[0]
    assert 0 < lives[0] <= 11_000
    await gateway.client.aclose()


async def test_without_the_store_each_gateway_counts_alone_and_says_so_once() -> None:
    with private_valkey() as valkey:
        (gateway,) = gateways(valkey, 1, requests_per_s=0.001, burst_s=3000)
        gateway.ask()
        await gateway.shared.share()
        valkey.kill()
        with capture_logs() as logs:
            asked = []
            for _ in range(3):
                asked.append(gateway.ask())
                await gateway.shared.share()
            valkey.restart()
            gateway.shared.used(gateway.budget())
            await gateway.shared.share()

    assert asked == [True, True, False]
    assert [event["event"] for event in logs] == ["limits.counted_alone", "limits.shared_again"]
    await gateway.client.aclose()


async def test_sharing_goes_on_by_itself_and_tells_each_use_once(valkey: Valkey) -> None:
    (gateway,) = gateways(valkey, 1, requests_per_s=0.01, burst_s=500)
    turns: asyncio.Queue[None] = asyncio.Queue()
    paused = asyncio.Event()

    async def pause(seconds: float) -> None:
        paused.set()
        await turns.get()

    shared = SharedLimits(gateway.client, lambda: gateway.now, pause=pause)
    gateway.shared = shared
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(shared.run())
        gateway.ask()
        for _ in range(3):
            await paused.wait()
            paused.clear()
            turns.put_nowait(None)
        await paused.wait()
        running.cancel()

    assert round(gateway.level()) == 4


class Deaf(SharedLimits):
    """Its client swallows that the task is cancelled, as ``asyncio.wait_for`` of Python 3.11 may."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway.client, lambda: gateway.now, pause=self._at_once)
        self.sharing = asyncio.Event()

    async def share(self) -> None:
        self.sharing.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    async def _at_once(self, seconds: float) -> None:
        return


async def test_sharing_ends_even_when_the_client_swallows_that_it_is_cancelled() -> None:
    gateway = Gateway("redis://127.0.0.1:1", requests_per_s=1)
    shared = Deaf(gateway)
    shared.used(gateway.budget())
    task = asyncio.create_task(shared.run())
    async with asyncio.timeout(10):
        await shared.sharing.wait()
        task.cancel()
        await asyncio.wait([task])

    assert task.cancelled()


def test_an_address_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("redis://:secret@localhost:6379/0\n")

    assert client_for(LimitsConfig(redis_url_file=file)) is not None


def test_without_an_address_nothing_is_shared() -> None:
    assert client_for(LimitsConfig(requests_per_s=1)) is None


@pytest.mark.parametrize("text", [None, "secret-of-ours"])
def test_an_address_that_cannot_be_used_is_refused_and_not_repeated(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "url"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        client_for(LimitsConfig(redis_url_file=file))

    assert "secret" not in str(caught.value)
