"""Who asks while something changes waits until it was taken up, and not for long."""

from __future__ import annotations

import asyncio

import pytest

from gateway.control.settling import Settling
from tests.support.virtual_loop import on_virtual_time, settle


class There:
    """Something that changes and is taken up, as who asks finds it."""

    def __init__(self, settling: Settling) -> None:
        self._settling = settling
        self.known, self.is_all = "old", False

    async def look(self) -> tuple[str, bool]:
        found = self.known, self.is_all
        await asyncio.sleep(0)
        return found

    def take_up(self, known: str, *, is_all: bool = True) -> None:
        self.known, self.is_all = known, is_all
        self._settling.is_over()


def now() -> float:
    return asyncio.get_running_loop().time()


@on_virtual_time
async def test_what_has_settled_is_told_at_once() -> None:
    began, settling = now(), Settling(1.0)
    there = There(settling)
    there.is_all = True

    assert (await settling.settled(there.look), now()) == ("old", began)


@on_virtual_time
async def test_what_is_taken_up_meanwhile_is_told_then() -> None:
    began, settling = now(), Settling(1.0)
    there = There(settling)
    asked = asyncio.create_task(settling.settled(there.look))
    await asyncio.sleep(0.25)
    was_told = asked.done()
    there.take_up("new")

    assert (was_told, await asked, now()) == (False, "new", began + 0.25)


@on_virtual_time
async def test_what_is_taken_up_while_somebody_looks_is_not_missed() -> None:
    began, settling = now(), Settling(1.0)
    there = There(settling)
    asked = asyncio.create_task(settling.settled(there.look))
    await asyncio.sleep(0)  # it has looked, and does not know yet what it has seen
    there.take_up("new")

    assert (await asked, now()) == ("new", began)


@on_virtual_time
async def test_what_was_taken_up_and_has_changed_again_is_waited_for() -> None:
    settling = Settling(1.0)
    there = There(settling)
    asked = asyncio.create_task(settling.settled(there.look))
    await settle()
    there.take_up("newer", is_all=False)
    await settle()
    was_told = asked.done()
    there.take_up("newest")

    assert (was_told, await asked) == (False, "newest")


@on_virtual_time
async def test_who_waits_is_told_what_is_known_when_patience_is_over_however_often_something_is_taken_up() -> None:
    settling, was_told = Settling(1.0), []
    there = There(settling)
    asked = asyncio.create_task(settling.settled(there.look))
    for number in range(4):
        await asyncio.sleep(0.3)
        was_told.append(asked.done())
        there.take_up(str(number), is_all=False)

    assert (was_told, await asked) == ([False, False, False, True], "2")


@on_virtual_time
async def test_what_goes_on_changing_holds_up_only_who_asks_first() -> None:
    settling = Settling(1.0)
    there = There(settling)
    await settling.settled(there.look)
    began = now()

    assert (await settling.settled(there.look), now()) == ("old", began)


@on_virtual_time
async def test_after_something_was_taken_up_the_next_change_is_waited_for_again() -> None:
    settling = Settling(1.0)
    there = There(settling)
    await settling.settled(there.look)
    there.take_up("new", is_all=False)
    began = now()

    assert (await settling.settled(there.look), now()) == ("new", began + 1.0)


async def test_who_cannot_look_is_told_so() -> None:
    async def look() -> tuple[str, bool]:
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        await Settling(1.0).settled(look)


@on_virtual_time
async def test_what_was_put_back_without_anybody_taking_it_up_costs_the_next_change_no_patience() -> None:
    settling = Settling(1.0)
    there = There(settling)
    first = await settling.settled(there.look)
    there.is_all = True  # as it was before
    await settling.settled(there.look)
    there.is_all = False
    asked = asyncio.create_task(settling.settled(there.look))
    await asyncio.sleep(0.25)
    was_told = asked.done()
    there.take_up("new")

    assert (first, was_told, await asked) == ("old", False, "new")
