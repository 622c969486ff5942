"""
Whatever is reloaded, refused, asked and answered late, in any order: what callers rely on holds throughout.

Real routing, mirrors, comparisons and credentials of endpoints; a model here adds its own number to each row, so that
an answer tells which model gave it, whatever name that model had when it was asked.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway.auth.access import EndpointAccess
from gateway.auth.audit import Audit
from gateway.control.endpoints import AuthMode, DeploymentConfig, EndpointConfig
from gateway.control.rollout_config import CompareConfig, StickyConfig
from gateway.core.access import Caller, Presented, Principal, Role
from gateway.core.catalog import DeploymentState, EndpointState
from gateway.core.deadline import Deadline
from gateway.core.errors import Unauthenticated
from gateway.core.request import Answer, Authenticated, Deployment, Enriched, Routed
from gateway.core.rows import Rows
from gateway.core.service import Service
from gateway.core.signature import Signature
from gateway.routing.rollout import Rollout, RolloutPlan
from gateway.routing.stage import Routing
from gateway.routing.table import RouteTable
from tests.support.held_scorer import LAYOUT, numbers, rows_of
from tests.support.requests import received
from tests.support.virtual_loop import run_virtually, settle

SIGNATURE = Signature(inputs=LAYOUT.columns, outputs=LAYOUT.columns)
NAMES = ("a", "b", "c")
MODELS = {"one": 1000, "two": 1001}
"""Apart by less than the larger tolerance allows."""
KEYS = tuple(f"customer-{number}" for number in range(8))
MODES: tuple[AuthMode, ...] = ("key", "token")


@dataclass(frozen=True)
class Wanted:
    """One configuration of the endpoint."""

    weights: Mapping[str, int]
    models: Mapping[str, str]
    shadows: Mapping[str, int]
    mode: AuthMode
    absolute: float

    def with_another_model(self, name: str) -> Wanted:
        other = {"one": "two", "two": "one"}
        return replace(self, models={each: other[m] if each == name else m for each, m in self.models.items()})

    def config(self) -> EndpointConfig:
        return EndpointConfig(
            name="e",
            deployments={name: DeploymentConfig(model=Path(name)) for name in self.models},
            traffic=dict(self.weights),
            mirror_traffic=dict(self.shadows),
            sticky=StickyConfig(header="x-key"),
            compare=CompareConfig(absolute=self.absolute, replay_percent=0),
            auth_mode=self.mode,
        )


@st.composite
def configurations(draw: st.DrawFn) -> Wanted:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=2, max_size=3, unique=True))
    serving = draw(st.integers(min_value=1, max_value=len(names)))
    cuts = sorted(draw(st.lists(st.integers(0, 100), min_size=serving - 1, max_size=serving - 1)))
    shares = [end - start for start, end in zip([0, *cuts], [*cuts, 100], strict=True)]
    weights = dict(zip(names[:serving], shares, strict=True))
    return Wanted(
        weights=weights,
        models={name: draw(st.sampled_from(tuple(MODELS))) for name in names},
        shadows={name: draw(st.sampled_from((0, 100))) for name in names[serving:]},
        mode=draw(st.sampled_from(MODES)),
        absolute=draw(st.sampled_from((0.0, 1.0))),
    )


Step = tuple[str, Any]

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("reload"), configurations()),
        st.tuples(st.just("refuse"), configurations()),
        st.tuples(st.just("request"), st.sampled_from(KEYS)),
        st.tuples(st.just("another kind of credential"), st.sampled_from(KEYS)),
        st.tuples(st.just("request while it reloads"), configurations()),
        st.tuples(st.just("another model"), st.sampled_from(NAMES)),
        st.tuples(st.just("another tolerance"), st.sampled_from((0.0, 1.0))),
        st.tuples(st.just("shadows answer"), st.none()),
    ),
    max_size=30,
)


class OneKind:
    """Takes credentials of one kind."""

    def __init__(self, mode: AuthMode) -> None:
        self.mode = mode

    async def __call__(self, caller: Caller, endpoint: str | None, role: Role) -> Principal:
        return self.judge(caller, endpoint, role)

    def judge(self, caller: Caller, endpoint: str | None, role: Role) -> Principal:
        if caller.credential != f"Bearer {self.mode}":
            raise Unauthenticated("another kind")
        return Principal("p")


@dataclass(eq=False)
class Place:
    rows: Rows
    deployment: Deployment
    reply: asyncio.Future[Rows]


@dataclass(eq=False)
class Line:
    """Of one deployment: rows wait until the shadows are told to answer."""

    deployment: Deployment
    waiting: list[Place] = field(default_factory=list)
    rows_waiting: int = 0

    def accept_once(self, rows: Rows, deadline: Deadline) -> Place:
        place = Place(rows, self.deployment, asyncio.get_running_loop().create_future())
        self.waiting.append(place)
        return place

    def withdraw(self, place: Place) -> None:
        place.reply.cancel()
        self.waiting.remove(place)

    def answer(self) -> None:
        for place in self.waiting:
            place.reply.set_result(answered(self.deployment, place.rows))
        self.waiting.clear()


def answered(deployment: Deployment, rows: Rows) -> Rows:
    return rows_of(*(value + MODELS[deployment.model] for value in numbers(rows)))


class AsItIs:
    """Rows of a shadow are those of its primary."""

    def rows(self, request: Enriched, shadow: Deployment) -> Rows:
        return request.rows

    async def read(self, request: Enriched, shadow: Deployment, deadline: Deadline) -> Rows:
        raise AssertionError("nothing has to be read")


class World:
    """One gateway process, as far as it decides."""

    def __init__(self, first: Wanted) -> None:
        self.deployments: dict[str, Deployment] = {}
        self.lines: dict[Deployment, Line] = {}
        self.held: asyncio.Event | None = None
        self.rollout = Rollout(
            self._answer,
            deployment_of=lambda _, name: self.deployments.get(name),
            line_of=lambda deployment: self.lines[deployment],
            draw=lambda: 0.5,
            clock=lambda: 0.0,
            linger=0.0,
        )
        verifiers = {mode: OneKind(mode) for mode in MODES}
        self.access = EndpointAccess({"e": first.mode}, verifiers, Audit(clock=lambda: 0.0))
        self.wanted = first
        self.reload(first)

    def plan(self, wanted: Wanted) -> RolloutPlan:
        self.access.check({"e": wanted.mode})
        models = {name: wanted.models[name] for name in wanted.models}
        return self.rollout.prepare({"e": wanted.config()}, self._complete, AsItIs(), models)

    def reload(self, wanted: Wanted) -> None:
        plan, old, self.wanted = self.plan(wanted), self.deployments, wanted
        self.deployments = {}
        for name, model in wanted.models.items():
            known = old.get(name)
            made = Deployment(endpoint="e", name=name, signature=SIGNATURE, model=model)
            deployment = self.deployments[name] = known if known is not None and known.model == model else made
            self.lines.setdefault(deployment, Line(deployment))
        states = {
            name: DeploymentState(name=name, deployment=deployment, is_ready=True, weight=wanted.weights.get(name, 0))
            for name, deployment in self.deployments.items()
        }
        table = RouteTable([EndpointState(name="e", deployments=states)], plan.ways)
        self.access.install({"e": wanted.mode})
        self.rollout.install(plan)
        self.routing = Routing(table, self._complete(self._answer), clock=lambda: 0.0, draw=lambda: 0.5)

    async def ask(self, key: str, shown: AuthMode) -> Answer | None:
        """None where the caller is not let in."""
        call = received("e")
        call.headers = {"x-key": key}
        try:
            principal = await self.access(Presented(f"Bearer {shown}"), "e", Role.SCORE)
        except Unauthenticated:
            return None
        return await self.routing(Authenticated(call, principal))

    def shadows_answer(self) -> None:
        for line in self.lines.values():
            line.answer()

    def _complete(self, inner: Service[Enriched, Answer]) -> Service[Routed, Answer]:
        async def complete(request: Routed, /) -> Answer:
            rows = rows_of(7)
            return await inner(
                Enriched(request.received, request.principal, request.deployment, request.deadline, rows)
            )

        return complete

    async def _answer(self, request: Enriched, /) -> Answer:
        if self.held is not None:
            await self.held.wait()
        return Answer(request.deployment, answered(request.deployment, request.rows))


def may_move(key_was: str, key_is: str, before: Wanted, after: Wanted) -> bool:
    """Only to a deployment whose share has grown relative to the one that it leaves."""
    was, now = before.weights, after.weights
    return now.get(key_is, 0) * was.get(key_was, 0) > was.get(key_is, 0) * now.get(key_was, 0)


async def ask_while_it_reloads(world: World, wanted: Wanted) -> None:
    """Somebody is let in and routed before the change, and answered after it."""
    world.held = asyncio.Event()
    routed = world.wanted
    asking = asyncio.create_task(world.ask(KEYS[0], world.wanted.mode))
    await settle()
    world.reload(wanted)
    world.held.set()
    answer = await asking
    world.held = None

    assert answer is not None
    assert answer.deployment.model == routed.models[answer.deployment.name]
    assert numbers(answer.rows) == [7 + MODELS[answer.deployment.model]]


def check_comparisons(world: World) -> None:
    """Each pair is of models that are there, and agrees if it is one model twice."""
    allowed = world.wanted.models
    for one in world.rollout.state("e").comparisons:
        assert (allowed[one.primary], allowed[one.shadow]) == (one.primary_model, one.shadow_model)
        agree = one.primary_model == one.shadow_model or world.wanted.absolute >= 1.0
        assert one.agreeing == (one.rows if agree else 0)
        assert one.only_shadow_failed == one.only_primary_failed == one.both_failed == 0


@settings(max_examples=200)
@given(configurations(), STEPS)
def test_whatever_is_reloaded_and_refused_requests_are_judged_routed_and_compared_by_what_is_current(
    first: Wanted, steps: list[Step]
) -> None:
    async def run() -> None:
        world = World(first)
        places: dict[str, tuple[str, Wanted]] = {}
        for what, about in steps:
            match what:
                case "reload":
                    world.reload(about)
                case "refuse":
                    before = msgspec.json.encode(world.rollout.state("e"))
                    world.plan(about)
                    assert msgspec.json.encode(world.rollout.state("e")) == before
                case "another model":
                    world.reload(world.wanted.with_another_model(about))
                case "another tolerance":
                    world.reload(replace(world.wanted, absolute=about))
                case "request":
                    check_answer(world, about, await world.ask(about, world.wanted.mode), places)
                case "another kind of credential":
                    assert await world.ask(about, "token" if world.wanted.mode == "key" else "key") is None
                case "request while it reloads":
                    await ask_while_it_reloads(world, about)
                case _:
                    world.shadows_answer()
            await settle()
            check_comparisons(world)
        await world.rollout.close()

    with capture_logs():
        run_virtually(run())


def check_answer(world: World, key: str, answer: Answer | None, places: dict[str, tuple[str, Wanted]]) -> None:
    """By a deployment with traffic, its current model, and the one that the key had if nothing made it move."""
    assert answer is not None
    chosen = answer.deployment.name
    assert world.wanted.weights[chosen] > 0
    assert answer.deployment.model == world.wanted.models[chosen]
    assert numbers(answer.rows) == [7 + MODELS[answer.deployment.model]]
    if key in places:
        before, by = places[key]
        assert before == chosen or may_move(before, chosen, by, world.wanted)
    places[key] = chosen, world.wanted


def test_every_answer_of_a_shadow_that_stays_is_compared_once() -> None:
    async def run() -> Counter[Any]:
        same = Wanted({"a": 100}, {"a": "one", "b": "two"}, {"b": 100}, "key", 0.0)
        world = World(same)
        for _ in range(10):
            await world.ask(KEYS[0], "key")
            await settle()
            world.reload(same)
        world.shadows_answer()
        await settle()
        found = world.rollout.state("e")
        await world.rollout.close()
        return Counter(compared=found.comparisons[0].requests, mirrored=found.shadows[0].mirrored)

    assert run_virtually(run()) == {"compared": 10, "mirrored": 10}
