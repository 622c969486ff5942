from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from workers.affinity import Available, Need, plan_cores


def cores(n: int, count: int | None = None) -> Available:
    return Available(cores=tuple(range(n)), count=n if count is None else count)


def test_the_gateway_has_the_first_core_and_one_worker_each_of_the_others() -> None:
    plan = plan_cores(cores(4), 1, {"a/blue": Need()})

    assert plan.gateways == ((0,),)
    assert plan.workers == {"a/blue": ((1,), (2,), (3,))}


def test_on_one_core_everything_shares_it() -> None:
    plan = plan_cores(cores(1), 1, {"a/blue": Need(), "a/green": Need()})

    assert plan.gateways == ((0,),)
    assert plan.workers == {"a/blue": ((0,),), "a/green": ((0,),)}


def test_two_deployments_on_two_cores_share_the_worker_core() -> None:
    plan = plan_cores(cores(2), 1, {"a/blue": Need(), "a/green": Need()})

    assert plan.workers == {"a/blue": ((1,),), "a/green": ((1,),)}


def test_an_explicit_number_of_workers_is_honoured_even_beyond_the_cores() -> None:
    plan = plan_cores(cores(3), 1, {"a/blue": Need(workers=5)})

    assert plan.workers["a/blue"] == ((1,), (2,), (1,), (2,), (1,))


def test_the_cores_that_an_explicit_deployment_leaves_are_shared_by_the_others() -> None:
    plan = plan_cores(cores(8), 1, {"a/blue": Need(workers=2), "a/green": Need(), "b/blue": Need()})

    assert {name: len(pins) for name, pins in plan.workers.items()} == {"a/blue": 2, "a/green": 3, "b/blue": 2}
    assert sorted(core for pins in plan.workers.values() for (core,) in pins) == [1, 2, 3, 4, 5, 6, 7]


def test_a_worker_with_two_threads_is_pinned_to_two_cores() -> None:
    plan = plan_cores(cores(5), 1, {"a/blue": Need(threads=2)})

    assert plan.workers == {"a/blue": ((1, 2), (3, 4))}


def test_a_worker_is_never_pinned_to_the_same_core_twice() -> None:
    plan = plan_cores(cores(2), 1, {"a/blue": Need(threads=4)})

    assert plan.workers == {"a/blue": ((1,),)}


def test_more_gateways_than_cores_share_the_cores() -> None:
    plan = plan_cores(cores(2), 3, {"a/blue": Need()})

    assert plan.gateways == ((0,), (1,), (0,))
    assert plan.workers["a/blue"] == ((0,), (1,))


def test_a_quota_limits_the_number_of_workers_and_pins_nothing() -> None:
    plan = plan_cores(cores(64, count=3), 1, {"a/blue": Need()})

    assert plan.gateways == ((),)
    assert plan.workers == {"a/blue": ((), ())}


def test_what_loads_is_kept_off_the_cores_of_what_serves_until_then_where_others_are_free() -> None:
    plan = plan_cores(cores(4), 1, {"a": Need(workers=1), "b": Need(workers=1)}, {"b": ((2,),)}, leaving=[((1,),)])

    assert plan.workers == {"a": ((3,),), "b": ((2,),)}


def test_where_none_is_free_what_will_have_less_to_do_counts_and_not_what_leaves() -> None:
    plan = plan_cores(cores(3), 1, {"a": Need(workers=1), "b": Need(workers=1)}, {"b": ((2,),)}, leaving=[((1,),)])

    assert plan.workers["a"] == ((1,),)


@given(
    n=st.integers(1, 64),
    gateways=st.integers(1, 4),
    needs=st.lists(st.builds(Need, workers=st.none() | st.integers(1, 6), threads=st.integers(1, 4)), max_size=6),
)
def test_every_deployment_is_served_only_on_available_cores(n: int, gateways: int, needs: list[Need]) -> None:
    plan = plan_cores(cores(n), gateways, {str(i): need for i, need in enumerate(needs)})

    assert len(plan.gateways) == gateways
    for i, need in enumerate(needs):
        workers = plan.workers[str(i)]
        assert len(workers) == need.workers or (need.workers is None and len(workers) >= 1)
        assert all(pins and set(pins) <= set(range(n)) and len(set(pins)) == len(pins) for pins in workers)


@given(n=st.integers(2, 64), sharing=st.integers(1, 6))
def test_by_default_no_core_has_two_workers_while_there_are_cores_enough(n: int, sharing: int) -> None:
    plan = plan_cores(cores(n), 1, {str(i): Need() for i in range(sharing)})
    load = Counter(core for pins in plan.workers.values() for (core,) in pins)

    assert set(load) == set(range(1, n))
    assert max(load.values()) == (1 if sharing <= n - 1 else -(-sharing // (n - 1)))
