"""The first requests of a primary are replayed whatever is drawn: a percent of few would be too few for a verdict."""

from __future__ import annotations

import asyncio
from itertools import cycle
from typing import Any

from gateway.core.errors import ModelFailed
from gateway.core.scoring import WorkerLost
from gateway.routing.compare import Comparison
from gateway.routing.comparisons import Judging
from gateway.routing.replays import FIRST
from gateway.routing.report import MirrorState, report
from gateway.routing.shadow import ShadowCounts
from gateway.routing.tally import Tolerance
from tests.routing.test_mirror import Bench
from tests.support.virtual_loop import on_virtual_time, settle

NEVER = 0.99
"""A draw that no share of one percent lets in."""


def bench(first: int = 2, **more: Any) -> Bench:
    return Bench(**{"replay": 1, "draws": cycle([NEVER]), "max_rows": 64, "first_replays": first, **more})


async def ask(one: Bench, *values: int) -> list[int]:
    """Each is answered by everybody; those that the primary was asked twice."""
    seen = one.workers["blue"].seen
    twice = []
    for value in values:
        begun = len(seen)
        await one.answered(value)
        one.shadow.answer()
        if len(seen) - begun > 1:
            twice.append(value)
            one.workers["blue"].answer()
        await settle()
    return twice


@on_virtual_time
async def test_the_first_of_a_primary_are_replayed_whatever_is_drawn_and_no_more() -> None:
    one = bench(first=2)
    replayed = await ask(one, 1, 2, 3, 4)

    assert replayed == [1, 2]
    assert one.compared(shadow="blue").requests == 2


@on_virtual_time
async def test_without_replays_the_first_are_not_replayed_either() -> None:
    replayed = await ask(bench(replay=0), 1, 2)

    assert replayed == []


@on_virtual_time
async def test_one_that_is_drawn_for_among_the_first_is_replayed_once() -> None:
    one = bench(first=2, replay=100)
    await ask(one, 1)

    assert one.workers["blue"].seen == [[1], [1]]


@on_virtual_time
async def test_those_that_wait_together_are_not_all_among_the_first() -> None:
    one = bench(first=2, linger=0.05)
    for value in range(4):
        await one.answered(value)
    await asyncio.sleep(0.05)
    await settle()
    while one.workers["blue"].held:
        one.workers["blue"].answer()
        await settle()

    assert one.compared(shadow="blue").requests == 2


@on_virtual_time
async def test_a_replay_that_was_dropped_is_none_of_the_first() -> None:
    one = bench(first=1)
    one.change(max_rows=1)
    dropped = await ask(one, 1)  # the shadow has used up what may be under way
    one.change(max_rows=64)

    assert dropped == []
    assert await ask(one, 2, 3) == [2]


@on_virtual_time
async def test_a_replay_that_failed_is_one_of_the_first_and_is_not_tried_again() -> None:
    one = bench(first=1)
    await one.answered(1)
    one.workers["blue"].fail(WorkerLost("gone", "w1"))
    await settle()

    assert one.workers["blue"].seen == [[1], [1]]
    assert one.mirror.rows == 1  # the shadow's


@on_virtual_time
async def test_a_deployment_that_is_not_idempotent_is_not_asked_twice_at_first_either() -> None:
    replayed = await ask(bench(is_idempotent=False), 1, 2)

    assert replayed == []


@on_virtual_time
async def test_a_request_that_the_primarys_model_failed_is_not_replayed() -> None:
    one = bench()
    failing = one.ask(1)
    await settle()
    one.workers["blue"].fail(ModelFailed("no"))
    await asyncio.gather(failing, return_exceptions=True)
    await settle()

    assert one.shadow.seen == [[1]]
    assert one.workers["blue"].seen == [[1]]


@on_virtual_time
async def test_another_tolerance_begins_the_first_anew() -> None:
    one = bench(first=1)
    await ask(one, 1, 2)
    one.change(judging=Judging(tolerance=Tolerance(1.0, 0.0), worst_rows=3, keep_inputs=False))

    assert await ask(one, 3, 4) == [3]


@on_virtual_time
async def test_another_model_of_the_primary_begins_the_first_anew() -> None:
    one = bench(first=1)
    await ask(one, 1, 2)
    one.change({"blue": "another"})
    one.primary = one.loaded["blue"]

    assert await ask(one, 3, 4) == [3]


@on_virtual_time
async def test_a_model_that_was_away_and_comes_back_begins_the_first_anew_too() -> None:
    one = bench(first=1)
    await ask(one, 1)
    one.change({"blue": "another"})
    one.change({"blue": ""})
    one.primary = one.loaded["blue"]

    assert await ask(one, 2, 3) == [2]


@on_virtual_time
async def test_another_percent_of_shadow_or_replays_does_not() -> None:
    one = bench(first=1)
    await ask(one, 1)
    one.change(shadows={"next": 100}, replay_percent=2)
    one.change(replay_percent=0)
    one.change(replay_percent=1)

    assert await ask(one, 2, 3) == []


def test_a_shadow_that_is_wrong_in_every_tenth_row_is_found_out_by_the_first() -> None:
    found = Comparison("blue", "next", rows=FIRST, agreeing=FIRST * 9 // 10)
    replays = Comparison("blue", "blue", rows=FIRST, agreeing=FIRST)
    told = report(MirrorState("e", Tolerance(0.0, 0.0), 0, [ShadowCounts("next", 100)], [found, replays]))

    assert told["shadows"][0]["comparisons"][0]["verdict"] == "differs"
