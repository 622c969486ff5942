"""Failed logins are slowed by address; nobody whose credential is valid ever notices."""

from __future__ import annotations

import pytest

from gateway.core.access import Caller, Presented, Principal, Role
from gateway.core.errors import Forbidden, Overloaded, Unauthenticated
from gateway.limits.login_failures import SlowFailures

RIGHT, WRONG = "Bearer right", "Bearer wrong"


class Judge:
    """Knows everybody at once, or is called all the same."""

    async def __call__(self, caller: Caller, endpoint: str | None, role: Role) -> Principal:
        return self.at_once(caller, endpoint, role)

    def at_once(self, caller: Caller, endpoint: str | None, role: Role) -> Principal:
        if caller.credential == RIGHT:
            return Principal("anna")
        raise Forbidden("no") if caller.credential == "Bearer known" else Unauthenticated("no")


class Door:
    def __init__(self, *, waits: bool = True) -> None:
        self.now = 0.0
        self.waits = waits
        self.access = SlowFailures(Judge(), failures=3, window=30.0, clock=lambda: self.now)

    async def knock(self, credential: str | None = WRONG, peer: str = "192.0.2.1") -> str:
        caller = Presented(credential, None, peer)
        try:
            if self.waits:
                return (await self.access(caller, "price", Role.SCORE)).name
            principal = self.access.at_once(caller, "price", Role.SCORE)
            return "nobody" if principal is None else principal.name
        except Overloaded as slowed:
            return f"in {slowed.retry_after:g}"
        except (Unauthenticated, Forbidden) as refused:
            return type(refused).__name__


async def test_after_so_many_failures_further_ones_are_told_when_to_come_back() -> None:
    door = Door()
    said = [await door.knock() for _ in range(5)]

    assert said == ["Unauthenticated"] * 3 + ["in 10"] * 2


async def test_failures_are_forgiven_with_time() -> None:
    door = Door()
    for _ in range(5):
        await door.knock()
    door.now += 10

    assert [await door.knock() for _ in range(2)] == ["Unauthenticated", "in 10"]


async def test_a_valid_credential_passes_whoever_failed_from_there() -> None:
    door = Door()
    for _ in range(50):
        await door.knock()

    assert await door.knock(RIGHT) == "anna"


async def test_other_addresses_are_not_slowed() -> None:
    door = Door()
    for _ in range(50):
        await door.knock()

    assert await door.knock(peer="192.0.2.2") == "Unauthenticated"


@pytest.mark.parametrize("credential", [None, RIGHT, "Bearer known"])
async def test_only_wrong_credentials_are_counted(credential: str | None) -> None:
    door = Door()
    for _ in range(50):
        await door.knock(credential)

    assert len(door.access) == 0


async def test_one_address_is_one_whatever_the_protocol() -> None:
    door = Door()
    for peer in ("192.0.2.1", "ipv4:192.0.2.1:1234", "ipv4:192.0.2.1:9"):
        await door.knock(peer=peer)

    assert await door.knock(peer="192.0.2.1") == "in 10"


async def test_no_more_addresses_are_remembered_than_fit() -> None:
    door = Door()
    for i in range(10_050):
        await door.knock(peer=f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}")

    assert len(door.access) == 10_000


@pytest.mark.parametrize("credential", [None, RIGHT, WRONG, "Bearer known"])
async def test_who_is_judged_at_once_hears_the_same(credential: str | None) -> None:
    waiting, prompt = Door(), Door(waits=False)
    said = [[await door.knock(credential) for _ in range(6)] for door in (waiting, prompt)]

    assert said[0] == said[1]


def test_an_access_that_always_waits_is_never_asked_at_once() -> None:
    access = SlowFailures(Judge().__call__, failures=3, window=30.0, clock=lambda: 0.0)

    assert access.at_once(Presented(WRONG), "price", Role.SCORE) is None
