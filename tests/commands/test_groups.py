"""What goes on, starts and stops when something else is wanted: decided without any process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.commands.groups import Group, GroupPlan, Sockets, plan_groups, wanted_groups
from gateway.config import Config, Settings
from gateway.control.endpoints import DeploymentConfig, EndpointConfig
from workers.affinity import Available

MODEL = Path("/models/one.onnx")
DIGESTS = {str(MODEL): "a", "/models/two.onnx": "b"}


def config(gateways: int = 1, *, loaded: bool = True, **deployments: DeploymentConfig) -> Config:
    traffic = {name: 100 if place == 0 else 0 for place, name in enumerate(deployments)}
    endpoint = EndpointConfig(name="price", deployments=deployments, traffic=traffic, loaded=loaded)
    return Config(root=Path("/served"), settings=Settings(gateways=gateways), endpoints={"price": endpoint})


def one(**settings: Any) -> DeploymentConfig:
    return DeploymentConfig(**{"model": MODEL, **settings})


class Machine:
    """Some cores, and the names of sockets that one life of a supervisor gives."""

    def __init__(self, cores: int = 4) -> None:
        self.available = Available(cores=tuple(range(cores)), count=cores)
        self.sockets = Sockets(Path("/run"), "l")

    def plan(self, present: Sequence[Group], of: Config, digests: dict[str, str] | None = None) -> GroupPlan:
        wanted = wanted_groups(of, DIGESTS if digests is None else digests)
        return plan_groups(present, wanted, self.available, of.settings.gateways, self.sockets.take)


def runs(plan: GroupPlan) -> list[Group]:
    return [*plan.keep, *plan.start]


def test_gateways_are_told_exactly_the_addresses_that_workers_listen_on() -> None:
    plan = Machine().plan([], config(blue=one(), green=one()))
    listened = {group.deployment: group.addresses for group in plan.start}

    assert plan.addresses == {"price": listened}
    assert len({address for found in listened.values() for address in found}) == 3


def test_at_the_start_each_worker_has_a_core_and_the_gateway_keeps_the_first() -> None:
    (group,) = Machine(3).plan([], config(blue=one())).start

    assert group.pins == ((1,), (2,))


def test_a_gpu_has_one_worker_unless_more_are_asked_for() -> None:
    plan = Machine(16).plan([], config(blue=one(device="cuda:0"), green=one(device="cuda:1", workers=2)))

    assert [len(group.pins) for group in plan.start] == [1, 2]


def test_the_same_again_changes_nothing() -> None:
    machine = Machine()
    before = runs(machine.plan([], config(blue=one(), green=one())))
    plan = machine.plan(before, config(blue=one(), green=one()))

    assert (list(plan.keep), plan.start, plan.stop) == (before, (), ())


@pytest.mark.parametrize(
    "other",
    [
        {"latency_goal_ms": 5.0},
        {"max_queue_rows": 7},
        {"idempotent": False},
        {"features": {"carat": "stones:carat"}},
        {"workers": 3},
    ],
    ids=lambda other: next(iter(other)),
)
def test_what_is_only_the_gateways_affair_starts_no_worker(other: dict[str, Any]) -> None:
    machine = Machine()
    before = runs(machine.plan([], config(blue=one())))  # three workers, on a machine with four cores
    plan = machine.plan(before, config(blue=one(**other)))

    assert (list(plan.keep), plan.start) == (before, ())


def test_weights_mirrors_and_timeouts_start_no_worker() -> None:
    machine, old = Machine(), config(blue=one(), green=one())
    before = runs(machine.plan([], old))
    endpoint = msgspec.structs.replace(
        old.endpoints["price"],
        traffic={"blue": 100, "green": 0},
        mirror_traffic={"green": 50},
        request_timeout_ms=9,
        description="new",
    )
    plan = machine.plan(before, msgspec.structs.replace(old, endpoints={"price": endpoint}))

    assert (list(plan.keep), plan.start) == (before, ())


@pytest.mark.parametrize(
    "other",
    [
        {"model": Path("/models/two.onnx")},
        {"max_rows": 7},
        {"workers": 2},
        {"threads": 2},
        {"device": "cpu"},
        {"provider_options": {"a": 1}},
        {"memory_limit_mb": 9},
        {"min_vsize_mb": 9},
    ],
    ids=lambda other: next(iter(other)),
)
def test_what_workers_are_told_makes_another_group(other: dict[str, Any]) -> None:
    machine = Machine()
    (old, stays) = runs(machine.plan([], config(blue=one(workers=3), green=one(workers=1))))
    plan = machine.plan([old, stays], config(blue=one(**{"workers": 3, **other}), green=one(workers=1)))

    assert (plan.keep, plan.stop) == ((stays,), (old,))
    assert [group.name for group in plan.start] == ["price/blue"]


def test_other_files_of_a_model_make_another_group() -> None:
    machine, same = Machine(), config(blue=one())
    before = runs(machine.plan([], same))
    plan = machine.plan(before, same, {str(MODEL): "other"})

    assert (plan.keep, list(plan.stop), len(plan.start)) == ((), before, 1)


def test_workers_are_told_which_files_they_may_load() -> None:
    (group,) = Machine().plan([], config(blue=one())).start

    assert group.options.digest == DIGESTS[str(MODEL)]


def test_a_model_is_known_by_its_path_however_that_is_written() -> None:
    (group,) = Machine().plan([], config(blue=one()), {"/models//one.onnx": "a"}).start

    assert group.digest == "a"


def test_an_endpoint_that_is_not_loaded_has_no_workers() -> None:
    machine = Machine()
    before = runs(machine.plan([], config(blue=one())))
    plan = machine.plan(before, config(blue=one(), loaded=False))

    assert (plan.keep, plan.start, list(plan.stop)) == ((), (), before)
    assert plan.addresses == {}


def test_a_new_group_takes_the_cores_with_the_least_to_do() -> None:
    machine = Machine(5)
    before = runs(machine.plan([], config(blue=one(workers=2))))  # on cores 1 and 2
    plan = machine.plan(before, config(blue=one(workers=2), green=one(workers=3)))

    assert plan.start[0].pins == ((3,), (4,), (1,))


def test_a_replacement_is_not_kept_off_the_cores_of_what_it_replaces() -> None:
    machine = Machine(4)
    before = runs(machine.plan([], config(blue=one())))
    plan = machine.plan(before, config(blue=one(max_rows=7)))

    assert plan.start[0].pins == before[0].pins


def test_a_replacement_loads_on_a_core_where_nobody_serves_if_there_is_one() -> None:
    machine = Machine(4)
    before = runs(machine.plan([], config(blue=one(workers=1), green=one(workers=1))))
    plan = machine.plan(before, config(blue=one(workers=1, max_rows=7), green=one(workers=1)))

    assert [group.pins for group in before] == [((1,),), ((2,),)]
    assert [group.pins for group in plan.start] == [((3,),)]


def test_a_group_that_is_on_its_way_is_used_when_it_is_still_wanted() -> None:
    machine = Machine()
    serving = runs(machine.plan([], config(blue=one())))
    (loading,) = machine.plan(serving, config(blue=one(max_rows=7))).start
    plan = machine.plan([*serving, loading], config(blue=one(max_rows=7), green=one(workers=1)))

    assert plan.keep == (loading,)
    assert list(plan.stop) == serving


DEPLOYMENTS = st.builds(
    DeploymentConfig,
    model=st.sampled_from([MODEL, Path("/models/two.onnx")]),
    workers=st.none() | st.integers(1, 3),
    max_rows=st.sampled_from([8, 64]),
    threads=st.integers(1, 2),
    idempotent=st.booleans(),
)
CONFIGS = st.builds(
    lambda deployments, loaded: config(loaded=loaded, **deployments),
    st.dictionaries(st.sampled_from(["blue", "green", "red"]), DEPLOYMENTS, min_size=1),
    st.booleans(),
)


@given(st.lists(CONFIGS, min_size=1, max_size=6), st.integers(1, 6))
def test_through_all_changes_everything_wanted_runs_and_nothing_that_stays_is_touched(
    history: list[Config], cores: int
) -> None:
    machine = Machine(cores)
    present: list[Group] = []
    used: set[str] = set()
    for wanted in history:
        plan = machine.plan(present, wanted)
        names = {f"price/{name}" for name in wanted.endpoints["price"].deployments if wanted.endpoints["price"].loaded}
        new = [address for group in plan.start for address in group.addresses]

        assert sorted(group.name for group in runs(plan)) == sorted(names)
        assert set(plan.keep).isdisjoint(plan.stop)
        assert set(plan.keep) | set(plan.stop) == set(present)
        assert all(group in present for group in plan.keep)
        assert used.isdisjoint(new)
        assert len(set(new)) == len(new)
        for group in runs(plan):
            asked = wanted.endpoints["price"].deployments[group.deployment]
            assert (group.options.model, group.options.max_rows) == (str(asked.model), asked.max_rows)
            assert asked.workers in (None, len(group.pins))
            assert all(pin and set(pin) <= set(range(cores)) for pin in group.pins)
            assert all(cores == 1 or 0 not in pin for pin in group.pins)

        used.update(new)
        present = runs(plan)
