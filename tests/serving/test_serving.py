"""One gateway process goes from version to version: what was accepted is answered, and what does not fit is refused."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from gateway.auth.bootstrap import prepare_state
from gateway.auth.config import AuthConfig
from gateway.auth.credentials import Credentials
from gateway.config import Config, Settings
from gateway.control.endpoints import DeploymentConfig, EndpointConfig
from gateway.control.served import Served
from gateway.control.source import Conflict
from gateway.core.access import Grant, Principal, Role
from gateway.core.errors import ConfigError, NotFound, NotReady
from gateway.core.payload import Payload, Records
from gateway.core.request import Answer, Authenticated, Received
from gateway.limits.config import LimitsConfig
from gateway.limits.limits import Limits
from gateway.pool.config import PoolConfig
from gateway.serving.serving import Serving
from tests.support.fake_worker import FakeWorker, answer, description
from tests.support.held_scorer import numbers
from tests.support.virtual_loop import settle

CALLER = Principal("p", (Grant(frozenset({Role.SCORE})),))
SETTINGS = Settings(pool=PoolConfig(min_backoff_ms=1, max_backoff_ms=5))


def endpoint(traffic: Mapping[str, int], *, name: str = "e", loaded: bool = True, **wanted: int) -> EndpointConfig:
    deployments = {each: DeploymentConfig(model=Path("/models") / each, **wanted) for each in traffic}  # type: ignore[arg-type]
    return EndpointConfig(name=name, deployments=deployments, traffic=dict(traffic), loaded=loaded)


def config(*endpoints: EndpointConfig) -> Config:
    return Config(root=Path("/served"), settings=SETTINGS, endpoints={each.name: each for each in endpoints})


def served(version: int, workers: Mapping[str, FakeWorker], name: str = "e") -> Served:
    plan = {name: {deployment: [worker.address] for deployment, worker in workers.items()}}
    return Served(version=version, endpoints={}, plan=plan)


class Gateway:
    """The stages from routing inward, and callers."""

    def __init__(self, first: Config, served: Served, state: Path) -> None:
        self.limits = Limits(LimitsConfig(), time.monotonic)
        self.credentials = Credentials(prepare_state(state), AuthConfig(), first.modes)
        self.serving = Serving(
            first,
            served,
            credentials=self.credentials,
            limits=self.limits,
            clock=time.monotonic,
            draw=random.Random(1).random,
        )
        self.changed = asyncio.Event()
        self.serving.registry.on_change(self.changed.set)

    async def ready(self) -> None:
        while not self.serving.registry.is_ready:
            self.changed.clear()
            await self.changed.wait()

    async def ask(self, x: int, pin: str | None = None, name: str | None = "e") -> Answer:
        def read() -> Payload:
            return Records([{"x": x}])

        received = Received(
            endpoint=name, deployment=pin, credential=None, deadline=None, read=read, protocol="rest", peer="192.0.2.1"
        )
        return await self.serving.routing(Authenticated(received, CALLER))

    async def become(self, following: Config, of: Served) -> None:
        await self.serving.prepare(following, of)
        await self.serving.commit(of.version)


@asynccontextmanager
async def gateway(first: Config, of: Served, state: Path) -> AsyncIterator[Gateway]:
    made = Gateway(first, of, state)
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(made.serving.run())
        features = tasks.create_task(made.serving.features.run())
        await made.ready()
        try:
            yield made
        finally:
            await made.serving.close()
            await running
            features.cancel()


@pytest.fixture
async def blue(tmp_path: Path) -> AsyncIterator[FakeWorker]:
    worker = FakeWorker(f"unix:{tmp_path}/blue")
    await worker.start()
    yield worker
    await worker.die()


@pytest.fixture
async def green(tmp_path: Path) -> AsyncIterator[FakeWorker]:
    worker = FakeWorker(f"unix:{tmp_path}/green", description(pid=2))
    await worker.start()
    yield worker
    await worker.die()


async def test_weights_change_without_touching_the_workers(blue: FakeWorker, green: FakeWorker, tmp_path: Path) -> None:
    workers = {"blue": blue, "green": green}
    async with gateway(config(endpoint({"blue": 100, "green": 0})), served(1, workers), tmp_path) as here:
        before = (await here.ask(1)).deployment.name
        await here.become(config(endpoint({"blue": 0, "green": 100})), served(2, workers))
        after = (await here.ask(2)).deployment.name

    assert [before, after] == ["blue", "green"]
    assert [blue.sessions, green.sessions] == [1, 1]


async def test_a_request_at_a_worker_that_is_replaced_is_answered_by_it(
    blue: FakeWorker, green: FakeWorker, tmp_path: Path
) -> None:
    blue.script = lambda batch: None
    async with gateway(config(endpoint({"blue": 100})), served(1, {"blue": blue}), tmp_path) as here:
        asking = asyncio.create_task(here.ask(1))
        await blue.received(1)
        await here.become(config(endpoint({"blue": 100})), served(2, {"blue": green}))
        was_draining = here.serving.draining
        new = await here.ask(2)
        blue.say(answer(blue.batches[0]))
        old = await asking
        await here.serving.retired()

        assert [numbers(old.rows), numbers(new.rows)] == [[1001], [1002]]
        assert was_draining == [blue.address]
        assert here.serving.draining == []
        assert [len(blue.batches), len(green.batches)] == [1, 1]


async def test_rows_that_wait_for_a_worker_which_is_replaced_are_still_scored_by_it(
    blue: FakeWorker, green: FakeWorker, tmp_path: Path
) -> None:
    blue.script = lambda batch: None
    first = config(endpoint({"blue": 100}, max_rows=1))
    async with gateway(first, served(1, {"blue": blue}), tmp_path) as here:
        asking = [asyncio.create_task(here.ask(x)) for x in range(5)]
        await blue.received(1)
        await here.become(first, served(2, {"blue": green}))
        blue.script = answer
        for batch in list(blue.batches):
            blue.say(answer(batch))
        answers = [numbers((await each).rows)[0] for each in asking]

    assert answers == [1000, 1001, 1002, 1003, 1004]
    assert green.batches == []


async def test_a_request_with_much_time_is_not_hurried_by_a_change(
    blue: FakeWorker, green: FakeWorker, tmp_path: Path
) -> None:
    """The drain is for a process that stops; here nothing stops."""
    blue.script = lambda batch: None
    hasty = msgspec.structs.replace(config(endpoint({"blue": 100})), settings=Settings(pool=SETTINGS.pool, drain_ms=0))
    async with gateway(hasty, served(1, {"blue": blue}), tmp_path) as here:
        asking = asyncio.create_task(here.ask(1))
        await blue.received(1)
        await here.become(hasty, served(2, {"blue": green}))
        await here.ask(2)
        blue.say(answer(blue.batches[0]))

        assert numbers((await asking).rows) == [1001]


async def test_a_change_that_waits_for_workers_ends_with_the_process(blue: FakeWorker, tmp_path: Path) -> None:
    nobody = FakeWorker(f"unix:{tmp_path}/nobody")
    async with gateway(config(endpoint({"blue": 100})), served(1, {"blue": blue}), tmp_path) as here:
        preparing = asyncio.create_task(
            here.serving.prepare(config(endpoint({"blue": 100})), served(2, {"blue": nobody}))
        )
        await settle()
    with pytest.raises(NotReady, match="shutting down"):
        await preparing


async def test_callers_hear_of_a_load_that_failed_until_it_is_repaired(blue: FakeWorker, tmp_path: Path) -> None:
    broken = FakeWorker(f"unix:{tmp_path}/broken")
    workers, told = {"blue": blue, "green": broken}, []
    async with gateway(config(endpoint({"blue": 100, "green": 0})), served(1, workers), tmp_path) as here:
        for failed in ([], [("e", "green")], [("e", "blue"), ("other", "green")]):
            here.serving.note_failed(failed)
            with pytest.raises(NotReady) as refused:
                await here.ask(1, "green")
            told.append("has failed to load its model" in str(refused.value))
        well = numbers((await here.ask(1)).rows)

    assert told == [False, True, False]
    assert well == [1001]


async def test_a_load_that_failed_is_remembered_when_something_else_changes(blue: FakeWorker, tmp_path: Path) -> None:
    workers = {"blue": blue, "green": FakeWorker(f"unix:{tmp_path}/broken")}
    async with gateway(config(endpoint({"blue": 100, "green": 0})), served(1, workers), tmp_path) as here:
        here.serving.note_failed([("e", "green")])
        await here.become(config(endpoint({"blue": 100, "green": 0}, max_rows=2)), served(2, workers))
        state = here.serving.registry.endpoint("e").deployments["green"]

    assert (state.has_failed, state.reason) == (True, "the model has failed to load")


async def test_all_workers_in_use_are_told(blue: FakeWorker, green: FakeWorker, tmp_path: Path) -> None:
    async with gateway(config(endpoint({"blue": 100})), served(1, {"blue": blue}), tmp_path) as here:
        before = here.serving.using
        await here.serving.prepare(config(endpoint({"blue": 100})), served(2, {"blue": green}))
        meanwhile = here.serving.using
        await here.serving.commit(2)
        await here.serving.retired()

        assert before == [blue.address]
        assert meanwhile == sorted([blue.address, green.address])
        assert here.serving.using == [green.address]


async def test_nothing_changes_before_the_commit(blue: FakeWorker, green: FakeWorker, tmp_path: Path) -> None:
    async with gateway(config(endpoint({"blue": 100})), served(1, {"blue": blue}), tmp_path) as here:
        await here.serving.prepare(config(endpoint({"blue": 100})), served(2, {"blue": green}))
        await here.ask(1)

        assert here.serving.version == 1
        assert here.serving.prepared == 2
        assert [len(blue.batches), len(green.batches)] == [1, 0]


async def test_what_was_prepared_and_abandoned_leaves_its_workers(
    blue: FakeWorker, green: FakeWorker, tmp_path: Path
) -> None:
    async with gateway(config(endpoint({"blue": 100})), served(1, {"blue": blue}), tmp_path) as here:
        await here.serving.prepare(config(endpoint({"blue": 100})), served(2, {"blue": green}))
        await here.serving.abandon()
        await here.ask(1)
        with pytest.raises(Conflict):
            await here.serving.commit(2)

        assert here.serving.prepared is None
        assert here.serving.version == 1


async def test_a_version_that_was_committed_already_is_no_error(blue: FakeWorker, tmp_path: Path) -> None:
    async with gateway(config(endpoint({"blue": 100})), served(1, {"blue": blue}), tmp_path) as here:
        await here.become(config(endpoint({"blue": 100})), served(2, {"blue": blue}))
        await here.serving.commit(2)

        assert here.serving.version == 2


async def test_a_deployment_without_workers_is_refused_and_the_old_version_goes_on(
    blue: FakeWorker, tmp_path: Path
) -> None:
    async with gateway(config(endpoint({"blue": 100})), served(1, {"blue": blue}), tmp_path) as here:
        with pytest.raises(ConfigError, match="workers of e/green"):
            await here.serving.prepare(config(endpoint({"blue": 50, "green": 50})), served(2, {"blue": blue}))
        await here.ask(1)

        assert here.serving.version == 1


async def test_an_endpoint_that_nobody_verifies_is_refused(blue: FakeWorker, tmp_path: Path) -> None:
    wanted = EndpointConfig(name="e", auth_mode="aad_token", deployments={"blue": DeploymentConfig(model=Path("/m"))})
    async with gateway(config(endpoint({"blue": 100})), served(1, {"blue": blue}), tmp_path) as here:
        with pytest.raises(ConfigError, match="auth_mode"):
            await here.serving.prepare(config(wanted), served(2, {"blue": blue}))
        await here.ask(1)

        assert here.serving.prepared is None


async def test_endpoints_come_and_go(blue: FakeWorker, green: FakeWorker, tmp_path: Path) -> None:
    async with gateway(config(endpoint({"blue": 100})), served(1, {"blue": blue}), tmp_path) as here:
        await here.become(config(endpoint({"green": 100}, name="f")), served(2, {"green": green}, "f"))
        found = await here.ask(1, name="f")
        with pytest.raises(NotFound):
            await here.ask(1)

        assert found.deployment.name == "green"


async def test_an_unloaded_endpoint_is_listed_and_answers_so(blue: FakeWorker, tmp_path: Path) -> None:
    async with gateway(config(endpoint({"blue": 100})), served(1, {"blue": blue}), tmp_path) as here:
        await here.become(config(endpoint({"blue": 100}, loaded=False)), served(2, {}))
        with pytest.raises(NotReady, match="unloaded"):
            await here.ask(1)

        assert here.serving.registry.endpoint("e").deployments["blue"].reason == "unloaded"
        assert here.serving.registry.is_ready


async def test_new_limits_on_the_same_workers_need_no_new_link(blue: FakeWorker, tmp_path: Path) -> None:
    async with gateway(config(endpoint({"blue": 100})), served(1, {"blue": blue}), tmp_path) as here:
        before = (await here.ask(1)).deployment
        wanted = config(endpoint({"blue": 100}, max_queue_rows=7))
        await here.become(wanted, served(2, {"blue": blue}))
        after = (await here.ask(2)).deployment

    assert [before.max_queue_rows, after.max_queue_rows] == [4096, 7]
    assert blue.sessions == 1


async def test_figures_of_a_deployment_go_on_when_it_is_replaced(
    blue: FakeWorker, green: FakeWorker, tmp_path: Path
) -> None:
    async with gateway(config(endpoint({"blue": 100})), served(1, {"blue": blue}), tmp_path) as here:
        await here.ask(1)
        await here.become(config(endpoint({"blue": 100})), served(2, {"blue": green}))
        await here.ask(2)
        await here.serving.retired()

        assert here.serving.lines.stats("e", "blue").inference_count == 2


async def test_nothing_is_lost_while_versions_follow_each_other(
    blue: FakeWorker, green: FakeWorker, tmp_path: Path
) -> None:
    """Callers ask without pause while workers, limits and weights change a hundred times."""
    answered = 0

    async def call(here: Gateway, number: int) -> None:
        nonlocal answered
        while here.serving.version < 101:
            assert numbers((await here.ask(number)).rows) == [number + 1000]
            answered += 1

    async with gateway(config(endpoint({"blue": 100})), served(1, {"blue": blue}), tmp_path) as here:
        async with asyncio.TaskGroup() as callers:
            for number in range(8):
                callers.create_task(call(here, number))
            for version in range(2, 102):
                worker = (blue, green)[version % 2]
                wanted = config(endpoint({"blue": 100}, max_queue_rows=100 + version % 3))
                await here.become(wanted, served(version, {"blue": worker}))
                await asyncio.gather(*(here.ask(x) for x in range(3)))
        await here.serving.retired()

    assert answered > 100


async def test_an_endpoint_that_a_change_leaves_as_it_is_has_the_same_state_before_and_after(
    blue: FakeWorker, green: FakeWorker, tmp_path: Path
) -> None:
    def both(weight: int) -> Config:
        return config(endpoint({"blue": 100}), endpoint({"green": weight, "idle": 100 - weight}, name="other"))

    def of(version: int) -> Served:
        plan = {"e": {"blue": [blue.address]}, "other": {"green": [green.address], "idle": [green.address]}}
        return Served(version=version, endpoints={}, plan=plan)

    async with gateway(both(100), of(1), tmp_path) as here:
        await here.ask(1)
        before = {name: here.serving.registry.endpoint(name) for name in ("e", "other")}
        await here.become(both(50), of(2))
        after = {name: here.serving.registry.endpoint(name) for name in ("e", "other")}

        assert after["e"] is before["e"]
        assert after["other"].deployments["green"].weight == 50


@pytest.mark.parametrize(
    "following",
    [
        endpoint({"green": 50, "blue": 50}),
        msgspec.structs.replace(endpoint({"blue": 50, "green": 50}), description="new"),
        endpoint({"blue": 50, "green": 50}, loaded=False),
        endpoint({"blue": 50, "green": 50}, max_rows=3),
    ],
)
async def test_whatever_a_change_says_of_an_endpoint_is_what_is_shown_of_it(
    blue: FakeWorker, green: FakeWorker, tmp_path: Path, following: EndpointConfig
) -> None:
    workers = {"blue": blue, "green": green}
    async with gateway(config(endpoint({"blue": 50, "green": 50})), served(1, workers), tmp_path) as here:
        await here.become(config(following), served(2, workers))
        shown = here.serving.registry.endpoint("e")
        rows = [each.deployment.max_rows for each in shown.deployments.values() if each.deployment is not None]

        assert list(shown.deployments) == list(following.deployments)
        assert (shown.description, shown.is_loaded) == (following.description, following.loaded)
        assert rows == [each.max_rows for each in following.deployments.values() if following.loaded]


async def test_whoever_comes_meanwhile_waits_neither_for_a_whole_preparation_nor_for_the_answer_to_a_switch(
    blue: FakeWorker, tmp_path: Path
) -> None:
    loop, seen = asyncio.get_running_loop(), list[tuple[int | None, int]]()
    async with gateway(config(endpoint({"blue": 100})), served(1, {"blue": blue}), tmp_path) as here:
        serving = here.serving

        def come(turns: int) -> None:
            seen.append((serving.prepared, serving.version))
            if turns > 1:
                loop.call_soon(come, turns - 1)

        loop.call_soon(come, 2)
        await serving.prepare(config(endpoint({"blue": 100})), served(2, {"blue": blue}))
        seen.append((serving.prepared, serving.version))
        loop.call_soon(come, 1)
        await serving.commit(2)
        until_answered = list(seen)

    assert until_answered == [(None, 1), (2, 1), (2, 1), (None, 2)]
