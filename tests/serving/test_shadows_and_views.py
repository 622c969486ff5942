"""What is with shadows and what waits for the feature store goes through changes as it should, down to the workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import msgspec
import pytest
from redis.asyncio import Redis

from feature_cache.writer import NewRow, Writer
from gateway.config import Config
from gateway.control.endpoints import DeploymentConfig, EndpointConfig
from gateway.control.rollout_config import CompareConfig
from gateway.control.served import Served
from gateway.core.payload import Records
from gateway.core.request import Answer, Authenticated
from gateway.features.config import FeatureStoreConfig
from gateway.routing.compare import Comparison
from tests.serving.test_serving import CALLER, SETTINGS, Gateway, gateway
from tests.support.fake_worker import FakeWorker, description
from tests.support.features import view
from tests.support.held_scorer import numbers
from tests.support.requests import received
from tests.support.valkey import Valkey, private_valkey

_TURNS = 100
"""Of the loop: closing a store takes a few."""
ONE = view("one", {"id": "int64"}, {"x": "int64"})


@pytest.fixture
async def workers(tmp_path: Path) -> AsyncIterator[dict[str, FakeWorker]]:
    """``blue``, ``green`` and ``lime``."""
    made = {
        name: FakeWorker(f"unix:{tmp_path}/{name}", description(pid=number))
        for number, name in enumerate(("blue", "green", "lime"), 1)
    }
    for worker in made.values():
        await worker.start()
    yield made
    for worker in made.values():
        await worker.die()


def mirrored(primary: str = "blue", shadow: str = "green") -> Config:
    """One serves, and the other one gets all of it as well."""
    one = EndpointConfig(
        name="e",
        deployments={name: DeploymentConfig(model=Path("/models") / name) for name in ("blue", "green")},
        traffic={primary: 100},
        mirror_traffic={shadow: 100},
        compare=CompareConfig(replay_percent=0),
    )
    return Config(root=Path("/served"), settings=SETTINGS, endpoints={"e": one})


def completed(url: str, *, by_store: bool) -> Config:
    """``blue`` takes ``x`` from the store, or from the caller."""
    blue = DeploymentConfig(model=Path("/models/blue"), features={"x": "one:x"} if by_store else {})
    return Config(
        root=Path("/served"),
        settings=msgspec.structs.replace(SETTINGS, features=FeatureStoreConfig(url=url, timeout_ms=5000.0)),
        endpoints={"e": EndpointConfig(name="e", deployments={"blue": blue})},
        views={"one": ONE} if by_store else {},
    )


def served(version: int, models: Mapping[str, str] | None = None, **workers: FakeWorker) -> Served:
    plan = {"e": {name: [worker.address] for name, worker in workers.items()}}
    digests = {f"/models/{name}": digest for name, digest in (models or {}).items()}
    return Served(version=version, endpoints={}, plan=plan, models=digests)


async def ask(here: Gateway, **record: int) -> Answer:
    call = received("e")
    call.read = lambda: Records([dict(record)])
    return await here.serving.routing(Authenticated(call, CALLER))


async def compared(here: Gateway, requests: int) -> Comparison:
    """The only comparison of ``blue`` and ``green``, when it has so many requests."""
    while True:
        for one in here.serving.rollout.state("e").comparisons:
            if one.shadow == "green" and one.requests == requests:
                return one
        await asyncio.sleep(0)


async def write(url: str, value: int) -> None:
    async with Redis.from_url(url) as client:
        await Writer(client, ONE).write([NewRow([1], {"x": value}, 1_700_000_000_000_000)])


async def test_rows_that_a_replaced_shadow_holds_do_not_keep_its_worker_and_the_comparison_begins_anew(
    workers: dict[str, FakeWorker], tmp_path: Path
) -> None:
    blue, green, lime = workers.values()
    green.script = lambda batch: None
    first = served(1, {"blue": "b", "green": "old"}, blue=blue, green=green)
    async with gateway(mirrored(), first, tmp_path) as here:
        await ask(here, x=1)
        await green.received(1)
        await here.become(mirrored(), served(2, {"blue": "b", "green": "new"}, blue=blue, green=lime))
        async with asyncio.timeout(2):  # less than what the shadow may take for its answer
            await here.serving.retired()
        await ask(here, x=2)
        found = await compared(here, 1)
        shadow = here.serving.rollout.state("e").shadows[0]

    assert (found.shadow_model, found.agreeing, found.only_shadow_failed) == ("new", 1, 0)
    assert (shadow.mirrored, shadow.failed) == (1, {})


async def test_a_shadow_that_becomes_the_primary_keeps_its_worker_and_what_was_found(
    workers: dict[str, FakeWorker], tmp_path: Path
) -> None:
    blue, green, _ = workers.values()
    async with gateway(mirrored(), served(1, blue=blue, green=green), tmp_path) as here:
        await ask(here, x=1)
        await compared(here, 1)
        await here.become(mirrored("green", "blue"), served(2, blue=blue, green=green))
        answer = await ask(here, x=2)
        found = await compared(here, 1)

    assert answer.deployment.name == "green"
    assert (found.primary, found.requests) == ("blue", 1)
    assert (blue.sessions, green.sessions) == (1, 1)


async def test_the_first_view_comes_and_the_last_one_goes_while_the_gateway_serves(
    workers: dict[str, FakeWorker], valkey: Valkey, tmp_path: Path
) -> None:
    await write(valkey.url, 7)
    blue = workers["blue"]
    async with gateway(completed(valkey.url, by_store=False), served(1, blue=blue), tmp_path) as here:
        sent = await ask(here, x=5)
        await here.become(completed(valkey.url, by_store=True), served(2, blue=blue))
        read = await ask(here, id=1)
        await here.become(completed(valkey.url, by_store=False), served(3, blue=blue))
        again = await ask(here, x=6)

    assert [numbers(each.rows) for each in (sent, read, again)] == [[1005], [1007], [1006]]


async def test_a_request_that_waits_for_the_store_when_views_go_is_answered(
    workers: dict[str, FakeWorker], tmp_path: Path
) -> None:
    with private_valkey() as server:
        await write(server.url, 7)
        blue, green, _ = workers.values()
        async with gateway(completed(server.url, by_store=True), served(1, blue=blue), tmp_path) as here:
            await here.serving.features.wait_until_ready(10)
            opened = here.serving.features.current.opened
            assert opened is not None
            with server.paused():
                asking = asyncio.create_task(ask(here, id=1))
                while not opened.readers.count:  # noqa: ASYNC110  # nobody announces it
                    await asyncio.sleep(0)
                await here.become(completed(server.url, by_store=False), served(2, blue=green))
                was_draining = here.serving.draining
                for _ in range(_TURNS):
                    await asyncio.sleep(0)
            answer = await asking
            await here.serving.retired()

        assert numbers(answer.rows) == [1007]
        assert was_draining == [blue.address]
        assert [len(blue.batches), len(green.batches)] == [1, 0]
