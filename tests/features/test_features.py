"""Endpoints and views are replaced while requests read: nobody's read is lost, and nothing is left open."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from feature_cache.writer import NewRow, Writer
from gateway.control.endpoints import DeploymentConfig, EndpointConfig
from gateway.core.errors import ConfigError, NotReady
from gateway.core.payload import Records
from gateway.core.request import Deployment
from gateway.core.rows import Rows
from gateway.core.signature import Signature
from gateway.features.assemble import Assembler
from gateway.features.config import FeatureStoreConfig, ViewFile
from gateway.features.features import Features, FeatureSet
from gateway.features.lookup import Completer
from gateway.telemetry.exposition import Exposition
from tests.support.features import column, view
from tests.support.valkey import Valkey, private_valkey

MODEL = Signature(inputs=(column("carat"),), outputs=())
ONE = view("one", {"id": "int64"}, {"carat": "float64"})
TWO = view("two", {"id": "int64"}, {"carat": "float64"})
NOW = 1_700_000_000_000_000
_TURNS = 100
"""Of the loop: closing a store takes a few."""


def endpoints(**features: str) -> dict[str, EndpointConfig]:
    """Name of an endpoint → where its only deployment takes ``carat`` from; empty: from the client."""
    return {
        name: EndpointConfig(
            name=name,
            deployments={"blue": DeploymentConfig(model=Path("m"), features={"carat": source} if source else {})},
        )
        for name, source in features.items()
    }


def views(*given: ViewFile) -> dict[str, ViewFile]:
    return {each.name: each for each in given}


def client_signature(served: FeatureSet, endpoint: str) -> Signature:
    assert served.bindings is not None
    binding = served.bindings.bind(endpoint, "blue", MODEL)
    return MODEL if binding is None else binding.signature


def completer(served: FeatureSet, endpoint: str = "e") -> Completer:
    """As the features stage makes it for a request that was routed by this configuration."""
    assert served.bindings is not None
    deployment = Deployment(
        endpoint=endpoint,
        name="blue",
        signature=client_signature(served, endpoint),
        model_signature=MODEL,
    )
    made = served.bindings.completer(deployment, Assembler(MODEL, 100))
    assert made is not None
    return made


async def read(served: FeatureSet, entity: int = 1, endpoint: str = "e") -> Rows:
    return await completer(served, endpoint)(Records([{"id": entity}]), time.monotonic() + 60)


def carat(value: float) -> Rows:
    return Assembler(MODEL, 100)(Records([{"carat": value}]))


def counted(features: Features, name: str) -> float | None:
    """The figure as it stands in the metrics; None where it does not."""
    out = Exposition()
    features.write(out)
    for line in out.text().decode().splitlines():
        if line.startswith(f"{name} "):
            return float(line.split()[-1])
    return None


async def fill(url: str, **rows: float) -> None:
    async with Redis.from_url(url) as client:
        for name, value in rows.items():
            await Writer(client, views(ONE, TWO)[name]).write([NewRow([1], {"carat": value}, NOW)])


@asynccontextmanager
async def running(
    url: str, served: Mapping[str, EndpointConfig], known: Mapping[str, ViewFile], **settings: Any
) -> AsyncIterator[Features]:
    features = Features(FeatureStoreConfig(url=url, **({"timeout_ms": 5000.0} | settings)), served, known)
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(features.run())
        await asyncio.sleep(0)
        await features.wait_until_ready(30)
        try:
            yield features
        finally:
            task.cancel()


async def closed(served: FeatureSet) -> None:
    """Return when the store of it has no connection any more."""
    assert served.opened is not None
    while served.opened.store.is_ready:  # noqa: ASYNC110  # nobody announces it
        await asyncio.sleep(0)


async def test_the_first_view_is_added_while_the_gateway_runs(valkey: Valkey) -> None:
    await fill(valkey.url, one=0.5)
    async with running(valkey.url, endpoints(e=""), {}) as features:
        prepared = await features.prepare(endpoints(e="one:carat"), views(ONE))
        before = features.facts
        features.install(prepared)
        rows = await read(features.current)

    assert before == {}
    assert features.facts["ready"] is not None
    assert rows == carat(0.5)


async def test_a_read_that_began_before_the_switch_is_answered_by_the_store_that_it_asked() -> None:
    with private_valkey() as server:
        await fill(server.url, one=0.5, two=0.7)
        async with running(server.url, endpoints(e="one:carat"), views(ONE)) as features:
            old = features.current
            assert old.opened is not None
            prepared = await features.prepare(endpoints(e="two:carat"), views(TWO))
            with server.paused():
                reading = asyncio.create_task(read(old))
                while not old.opened.readers.count:  # noqa: ASYNC110  # nor this
                    await asyncio.sleep(0)
                features.install(prepared)
                for _ in range(_TURNS):
                    await asyncio.sleep(0)
                is_open = old.opened.store.is_ready
            rows = await reading
            after = await read(features.current)
            await closed(old)

    assert is_open
    assert (rows, after) == (carat(0.5), carat(0.7))


async def test_a_store_that_nobody_reads_is_closed_when_it_was_replaced(valkey: Valkey) -> None:
    async with running(valkey.url, endpoints(e="one:carat"), views(ONE)) as features:
        old = features.current
        features.install(await features.prepare(endpoints(e="two:carat"), views(TWO)))
        await closed(old)

        assert features.facts["ready"]


async def test_what_was_prepared_and_refused_is_closed_and_what_serves_goes_on(valkey: Valkey) -> None:
    await fill(valkey.url, one=0.5)
    async with running(valkey.url, endpoints(e="one:carat"), views(ONE)) as features:
        prepared = await features.prepare(endpoints(e="two:carat"), views(TWO))
        features.discard(prepared)
        await closed(prepared)

        assert await read(features.current) == carat(0.5)


async def test_the_same_views_keep_their_store_whatever_else_changes(valkey: Valkey) -> None:
    async with running(valkey.url, endpoints(e="one:carat"), views(ONE)) as features:
        told = msgspec.structs.replace(ONE, example={"id": 1})
        prepared = await features.prepare(endpoints(e="one:carat", f="one:carat"), views(told))
        old = features.current
        features.install(prepared)
        await asyncio.sleep(0)

        assert prepared.opened is old.opened
        assert features.facts["ready"]
        assert client_signature(features.current, "f") != MODEL


async def test_what_shares_its_store_with_what_serves_can_be_discarded(valkey: Valkey) -> None:
    await fill(valkey.url, one=0.5)
    async with running(valkey.url, endpoints(e="one:carat"), views(ONE)) as features:
        features.discard(await features.prepare(endpoints(f="one:carat"), views(ONE)))
        await asyncio.sleep(0)

        assert await read(features.current) == carat(0.5)


async def test_another_policy_is_another_view(valkey: Valkey) -> None:
    lenient = view("one", {"id": "int64"}, {"carat": {"type": "float64", "default": 9.0}}, on_missing="default")
    async with running(valkey.url, endpoints(e="one:carat"), views(ONE)) as features:
        features.install(await features.prepare(endpoints(e="one:carat"), views(lenient)))

        assert await read(features.current, entity=404) == carat(9.0)


async def test_the_last_view_is_removed_and_its_figures_stay(valkey: Valkey) -> None:
    await fill(valkey.url, one=0.5)
    async with running(valkey.url, endpoints(e="one:carat"), views(ONE)) as features:
        await read(features.current)
        old = features.current
        features.install(await features.prepare(endpoints(e=""), {}))
        await closed(old)

        assert features.facts == {}
        assert counted(features, "lockgate_feature_round_trips_total") == 1
        assert counted(features, "lockgate_feature_store_up") is None


async def test_figures_go_on_where_the_store_before_them_was(valkey: Valkey) -> None:
    await fill(valkey.url, one=0.5, two=0.7)
    async with running(valkey.url, endpoints(e="one:carat"), views(ONE)) as features:
        await read(features.current)
        features.install(await features.prepare(endpoints(e="two:carat"), views(TWO)))
        await read(features.current)

        assert counted(features, "lockgate_feature_round_trips_total") == 2


async def test_without_views_there_are_no_figures() -> None:
    async with running("", endpoints(e=""), {}) as features:
        assert counted(features, "lockgate_feature_round_trips_total") is None


@pytest.mark.parametrize(("source", "what"), [("gone:carat", 'no view "gone"'), ("one:weight", 'no feature "weight"')])
async def test_features_that_are_not_there_are_refused_before_anything_is_opened(source: str, what: str) -> None:
    async with running("", endpoints(e=""), {}) as features:
        with pytest.raises(ConfigError, match=f"e/blue: features.carat.*{what}"):
            await features.prepare(endpoints(e=source), views(ONE))


async def test_views_without_a_store_are_refused() -> None:
    async with running("", endpoints(e=""), {}) as features:
        with pytest.raises(ConfigError, match=r"features\.url"):
            await features.prepare(endpoints(e="one:carat"), views(ONE))


async def test_a_store_that_does_not_answer_refuses_the_first_view() -> None:
    with private_valkey() as server:
        url = server.url
        async with running(url, endpoints(e=""), {}) as features:
            server.kill()
            with pytest.raises(NotReady, match="the feature store does not answer"):
                await features.prepare(endpoints(e="one:carat"), views(ONE), patience=0.05)

            assert features.facts == {}


async def test_views_can_be_changed_while_the_store_is_gone(valkey: Valkey) -> None:
    lenient = view("one", {"id": "int64"}, {"carat": {"type": "float64", "default": 9.0}}, on_missing="default")
    with private_valkey() as server:
        async with running(server.url, endpoints(e="one:carat"), views(ONE), timeout_ms=50.0) as features:
            server.kill()
            await closed(features.current)
            features.install(await features.prepare(endpoints(e="one:carat"), views(lenient), patience=0.05))

            assert await read(features.current) == carat(9.0)


async def test_a_hundred_changes_leave_one_store(valkey: Valkey) -> None:
    async with running(valkey.url, endpoints(e="one:carat"), views(ONE)) as features:
        tasks = len(asyncio.all_tasks())
        seen = []
        for turn in range(100):
            name, other = ("two", TWO) if turn % 2 == 0 else ("one", ONE)
            seen.append(weakref.ref(features.current.bindings))
            features.install(await features.prepare(endpoints(e=f"{name}:carat"), views(other)))
        while len(asyncio.all_tasks()) > tasks:  # noqa: ASYNC110  # nor this
            await asyncio.sleep(0)
        gc.collect()

        assert [ref() for ref in seen if ref() is not None] == []
