"""When keys are fetched: daily, again soon after a failure, and never more often than asked for; on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from gateway.auth.jwks import FetchFailed, Jwks, read_jwks
from gateway.auth.jwt import SigningKey
from gateway.core.errors import NotReady
from tests.support.oidc_provider import pair
from tests.support.virtual_loop import on_virtual_time

DAY = 86_400.0


class Publisher:
    """What there is to fetch; each fetch takes ``seconds``."""

    def __init__(self, *kids: str, seconds: float = 0.0) -> None:
        self.kids, self.seconds = kids, seconds
        self.is_away = False
        self.at: list[float] = []

    async def __call__(self) -> Mapping[str, SigningKey]:
        self.at.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.seconds)
        if self.is_away:
            raise FetchFailed("away")
        return {kid: SigningKey(kid, None, frozenset({"RS256"})) for kid in self.kids}


@asynccontextmanager
async def keeping(publisher: Publisher, patience: float = 10.0) -> AsyncIterator[Jwks]:
    clock = asyncio.get_running_loop().time
    jwks = Jwks(publisher, clock=clock, refresh=DAY, unknown_interval=30, patience=patience)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(jwks.run())
        try:
            yield jwks
        finally:
            running.cancel()


@on_virtual_time
async def test_keys_are_fetched_again_every_day() -> None:
    publisher = Publisher("a")
    async with keeping(publisher):
        await asyncio.sleep(2.5 * DAY)

    assert [at - publisher.at[0] for at in publisher.at] == [0, DAY, 2 * DAY]


@on_virtual_time
async def test_failures_are_tried_again_ever_more_slowly_and_at_least_every_minute() -> None:
    publisher = Publisher("a")
    publisher.is_away = True
    async with keeping(publisher):
        await asyncio.sleep(200)

    assert [at - publisher.at[0] for at in publisher.at] == [0, 1, 3, 7, 15, 31, 63, 123, 183]


@on_virtual_time
async def test_who_comes_during_the_first_fetch_waits_for_it() -> None:
    async with keeping(Publisher("a", seconds=2)) as jwks:
        await asyncio.sleep(1)
        key = await jwks.find("a")

    assert key is not None


@on_virtual_time
async def test_nobody_waits_longer_than_their_patience() -> None:
    async with keeping(Publisher("a", seconds=3600), patience=5) as jwks:
        began = asyncio.get_running_loop().time()
        with pytest.raises(NotReady):
            await jwks.find("a")

        assert asyncio.get_running_loop().time() == began + 5


@on_virtual_time
async def test_only_so_many_wait_for_one_fetch() -> None:
    async with keeping(Publisher("a", seconds=5)) as jwks:
        waiting = [asyncio.create_task(jwks.find("a")) for _ in range(256)]
        await asyncio.sleep(1)
        with pytest.raises(NotReady, match="too many"):
            await jwks.find("a")
        found = [await each for each in waiting]

    assert None not in found


@on_virtual_time
async def test_who_leaves_while_waiting_does_not_take_the_fetch_along() -> None:
    async with keeping(Publisher("a", seconds=2)) as jwks:
        leaving = asyncio.create_task(jwks.find("a"))
        staying = asyncio.create_task(jwks.find("a"))
        await asyncio.sleep(1)
        leaving.cancel()

        assert await staying is not None


@on_virtual_time
async def test_an_unknown_key_is_looked_for_again_after_the_interval() -> None:
    publisher = Publisher("a")
    async with keeping(publisher) as jwks:
        await jwks.find("a")
        publisher.kids = ("a", "b")
        early = await jwks.find("b")
        await asyncio.sleep(30)
        late = await jwks.find("b")

    assert (early, late is not None, len(publisher.at)) == (None, True, 2)


@pytest.mark.parametrize("document", [None, [], {}, {"keys": {}}, {"keys": []}, {"keys": [1, None, {}]}])
def test_what_is_no_key_set_is_refused(document: object) -> None:
    with pytest.raises(FetchFailed):
        read_jwks(document)


@pytest.mark.parametrize(
    "bad",
    [
        {"kid": 7},
        {"kid": "x" * 10, "n": "!"},
        {"n": ""},
        {"e": None},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "unheard-of"},
        {"use": "enc"},
        {"alg": "HS256"},
        {"issuer": 1},
    ],
)
def test_a_key_that_is_of_no_use_is_left_out(bad: dict[str, object]) -> None:
    found = read_jwks({"keys": [{**pair("first").jwk(kid="bad"), **bad}, pair("first").jwk(kid="good")]})

    assert list(found) == ["good"]


def test_of_two_keys_with_one_name_the_first_counts() -> None:
    found = read_jwks({"keys": [pair("first").jwk(kid="k", issuer="one"), pair("second").jwk(kid="k", issuer="two")]})

    assert found["k"].issuer == "one"


def test_no_more_keys_are_read_than_anybody_has() -> None:
    found = read_jwks({"keys": [pair("first").jwk(kid=f"k{i}") for i in range(150)]})

    assert len(found) == 100
