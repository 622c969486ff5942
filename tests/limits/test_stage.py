"""Who gets in under which limits, and what the others are told."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from gateway.core.access import Principal
from gateway.core.errors import InvalidInput, Overloaded
from gateway.core.payload import Records
from gateway.core.request import Answer, Authenticated, Enriched, Received
from gateway.limits.budget import Budget, Budgets
from gateway.limits.config import LimitsConfig
from gateway.limits.stage import ChargeRows, Limit
from tests.support.edge_service import PRICE, rows_of
from tests.support.requests import deployment

ANNA, BERT = Principal("anna"), Principal("bert")
ANSWER = Answer(deployment(), rows_of([PRICE], (1.0,)))


class Gateway:
    """Both stages in their places; each request carries as many rows as it is told, and is held while asked to be."""

    def __init__(self, **limits: Any) -> None:
        self.now = 100.0
        self.used: list[Budget] = []
        self.held: asyncio.Event | None = None
        self.error: Exception | None = None
        config = msgspec.convert(limits, LimitsConfig)
        self.budgets = Budgets(config, lambda: self.now)
        self.budgets.install(["price"])
        self.charge = ChargeRows(self.budgets, self._answer, on_use=self.used.append)
        self.limit = Limit(self.budgets, self._read, on_use=self.used.append)
        self.rows = 1

    async def ask(
        self, principal: Principal = ANNA, *, size: int = 0, rows: int = 1, endpoint: str | None = "price"
    ) -> Answer:
        self.rows = rows
        received = Received(endpoint, None, None, None, lambda: Records([]), "rest", "192.0.2.1", size=size)
        return await self.limit(Authenticated(received, principal))

    async def refusal(self, principal: Principal = ANNA, **request: Any) -> float:
        """How long to wait."""
        with pytest.raises(Overloaded) as caught:
            await self.ask(principal, **request)
        return round(caught.value.retry_after, 6)

    async def _read(self, request: Authenticated, /) -> Answer:
        if self.error is not None:
            raise self.error
        rows = rows_of([PRICE], *[(1.0,)] * self.rows)
        return await self.charge(Enriched(request.received, request.principal, deployment(), 1e9, rows))

    async def _answer(self, request: Enriched, /) -> Answer:
        if self.held is not None:
            await self.held.wait()
        return ANSWER


async def test_a_caller_gets_its_burst_and_then_its_rate() -> None:
    gateway = Gateway(requests_per_s=2, burst_s=2)
    for _ in range(4):
        await gateway.ask()

    assert await gateway.refusal() == 0.5
    gateway.now += 0.5
    assert await gateway.ask() is ANSWER
    assert await gateway.refusal() == 0.5


async def test_callers_do_not_spend_each_other_s() -> None:
    gateway = Gateway(requests_per_s=1)
    await gateway.ask(ANNA)
    await gateway.refusal(ANNA)

    assert await gateway.ask(BERT) is ANSWER


async def test_two_callers_of_one_name_and_different_kinds_are_two() -> None:
    gateway = Gateway(requests_per_s=1)
    await gateway.ask(Principal("anna", kind="key"))

    assert await gateway.ask(Principal("anna", kind="jwt")) is ANSWER


async def test_rows_beyond_the_limit_are_served_and_paid_for_by_waiting() -> None:
    gateway = Gateway(rows_per_s=10)
    await gateway.ask(rows=60)

    assert await gateway.refusal() == 5.1


async def test_bytes_beyond_the_limit_are_paid_for_likewise() -> None:
    gateway = Gateway(bytes_per_s=1000)
    await gateway.ask(size=3000)

    assert await gateway.refusal() == 2.001


async def test_the_longest_wait_of_all_limits_is_told() -> None:
    gateway = Gateway(requests_per_s=1, rows_per_s=1, bytes_per_s=1)
    await gateway.ask(size=3, rows=9)

    assert await gateway.refusal() == 9.0


async def test_a_refusal_costs_nothing() -> None:
    gateway = Gateway(requests_per_s=1, bytes_per_s=1000)
    await gateway.ask()
    for _ in range(50):
        await gateway.refusal(size=100_000)

    gateway.now += 1
    assert await gateway.ask() is ANSWER


async def test_only_so_many_at_the_same_time() -> None:
    gateway = Gateway(concurrent=2)
    gateway.held = asyncio.Event()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        first = [tasks.create_task(gateway.ask()) for _ in range(2)]
        await asyncio.sleep(0)
        refused = await gateway.refusal()
        gateway.held.set()
        await asyncio.gather(*first)

    assert refused == 0.1
    assert await gateway.ask() is ANSWER


@pytest.mark.parametrize("how", ["fails", "is cancelled"])
async def test_a_place_is_free_again_however_a_request_ends(how: str) -> None:
    gateway = Gateway(concurrent=1)
    if how == "fails":
        gateway.error = InvalidInput("no")
        with pytest.raises(InvalidInput):
            await gateway.ask()
        gateway.error = None
    else:
        gateway.held = asyncio.Event()
        asking = asyncio.create_task(gateway.ask())
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        gateway.held = None

    assert await gateway.ask() is ANSWER


async def test_a_caller_s_own_limits_stand_for_all_others() -> None:
    gateway = Gateway(requests_per_s=1, callers={"anna": {"rows_per_s": 100}}, endpoints={"price": {"concurrent": 1}})
    for _ in range(20):
        await gateway.ask(ANNA)

    assert (await gateway.ask(BERT), len(gateway.budgets)) == (ANSWER, 2)


async def test_an_endpoint_s_limits_are_counted_apart_and_for_each_caller() -> None:
    gateway = Gateway(requests_per_s=1, endpoints={"price": {"requests_per_s": 2}})
    await gateway.ask(ANNA, endpoint="other")
    await gateway.refusal(ANNA, endpoint="other")
    await gateway.ask(ANNA, endpoint="price")
    await gateway.ask(ANNA, endpoint=None)  # the only one there is
    await gateway.refusal(ANNA, endpoint="price")

    assert await gateway.ask(BERT, endpoint="price") is ANSWER


async def test_who_has_no_limit_leaves_no_trace() -> None:
    gateway = Gateway(callers={"anna": {"requests_per_s": 1}})
    for _ in range(20):
        await gateway.ask(BERT)

    assert (len(gateway.budgets), gateway.used) == (0, [])


async def test_no_more_callers_are_remembered_than_configured() -> None:
    gateway = Gateway(requests_per_s=1, max_callers=2)
    for name in ("a", "b", "c"):
        await gateway.ask(Principal(name))
    assert len(gateway.budgets) == 2

    assert await gateway.refusal(Principal("c")) == 1.0
    assert await gateway.ask(Principal("a")) is ANSWER  # had been away longest


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        ({"requests_per_s": -1}, "requests_per_s"),
        ({"concurrent": -1}, "concurrent"),
        ({"burst_s": 0}, "burst_s"),
        ({"max_callers": 0}, "max_callers"),
        ({"redis_url": "http://x"}, "redis_url"),
        ({"login_failures": -1}, "login_failures"),
        ({"login_window_s": 0}, "login_window_s"),
        ({"callers": {"x": {"rows_per_s": -1}}}, "rows_per_s"),
        ({"callers": {"x": {"redis_url": ""}}}, "redis_url"),
    ],
)
def test_a_wrong_setting_is_named(limits: dict[str, Any], named: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=named):
        msgspec.convert(limits, LimitsConfig)


@pytest.mark.parametrize(
    ("limits", "anybody"),
    [
        ({}, False),
        ({"login_failures": 3, "redis_url": "redis://x"}, False),
        ({"callers": {"x": {}}}, False),
        ({"bytes_per_s": 1}, True),
        ({"callers": {"x": {"concurrent": 1}}}, True),
        ({"endpoints": {"x": {"rows_per_s": 1}}}, True),
    ],
)
def test_the_stages_are_left_out_when_nothing_is_limited(limits: dict[str, Any], anybody: bool) -> None:
    assert msgspec.convert(limits, LimitsConfig).limits_anybody is anybody


async def test_who_names_no_endpoint_has_the_budget_of_the_only_one_that_there_is_now() -> None:
    gateway = Gateway(endpoints={"price": {"requests_per_s": 1}, "claims": {"requests_per_s": 2}})
    await gateway.ask(endpoint=None)
    await gateway.refusal(endpoint=None)
    gateway.budgets.install({"claims": 0})
    await gateway.ask(endpoint=None)
    await gateway.ask(endpoint=None)

    assert await gateway.refusal(endpoint=None) == 0.5


async def test_budgets_of_endpoints_that_are_gone_are_freed_and_others_kept() -> None:
    gateway = Gateway(requests_per_s=1, endpoints={"price": {"requests_per_s": 1}, "claims": {"requests_per_s": 1}})
    for endpoint in ("price", "claims", "other"):
        await gateway.ask(endpoint=endpoint)
    gateway.budgets.install({"claims": 0, "other": 0})
    kept = len(gateway.budgets)

    assert kept == 2
    assert await gateway.refusal(endpoint="claims") == 1.0
    assert await gateway.refusal(endpoint="other") == 1.0


async def test_a_request_whose_budget_is_freed_while_it_is_answered_leaves_nothing_behind() -> None:
    gateway = Gateway(endpoints={"price": {"concurrent": 1}})
    gateway.held = asyncio.Event()
    async with asyncio.timeout(10):
        first = asyncio.create_task(gateway.ask())
        await asyncio.sleep(0)
        gateway.budgets.install({})
        gateway.budgets.install({"price": 0})
        gateway.held.set()
        await first
        await gateway.ask()

    assert len(gateway.budgets) == 1
