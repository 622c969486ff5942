"""Who has a pass is let in as without one, and nobody who would be refused has one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway.auth.access import EndpointAccess
from gateway.auth.api_key import ApiKey, digest
from gateway.auth.audit import Audit
from gateway.auth.key_file import write_keys
from gateway.auth.key_store import KeyStore
from gateway.auth.key_uses import KeyUses
from gateway.auth.stage import Authenticate
from gateway.auth.token import TokenAccess, issue_token
from gateway.auth.token_keys import signing_key
from gateway.control.endpoints import AuthMode
from gateway.core.access import ClientCertificate, Presented, Principal, Role
from gateway.core.errors import Forbidden, GatewayError, Unauthenticated
from gateway.core.request import Answer, Authenticated
from gateway.limits.login_failures import SlowFailures
from tests.support.edge_service import PRICE, rows_of
from tests.support.requests import deployment, received

NOW = 1_000_000.0
ANSWER = Answer(deployment(), rows_of([PRICE], (1.0,)))
KEYS = ("lg_a", "lg_ä")
MODES: tuple[dict[str, AuthMode], ...] = (
    {"a": "key", "b": "key"},
    {"a": "key"},
    {"a": "token"},
    {"a": "token", "b": "key"},
    {"b": "key", "c": "token"},
    {},
)


class Door:
    """The way into one process. ``is_forgetful``: nobody has a pass, and nothing that was shown is remembered."""

    def __init__(self, folder: Path, now: list[float], modes: dict[str, AuthMode], *, is_forgetful: bool) -> None:
        self.now, self.is_forgetful = now, is_forgetful
        self.keys = KeyStore(folder / "keys.json", None, KeyUses(folder / "uses"), clock=lambda: now[0])
        self.passes = self.keys.passes
        tokens = TokenAccess(folder / "token-keys.json", clock=lambda: now[0], leeway=0)
        self.endpoints = EndpointAccess(
            modes, {"key": self.keys, "token": tokens}, Audit(clock=lambda: now[0]), passes=self.passes
        )
        slow = SlowFailures(self.endpoints, failures=5, window=10.0, clock=lambda: now[0])
        self.let_in: list[Principal] = []
        self.stage = Authenticate(slow, self._inner, None if is_forgetful else self.passes)

    def _inner(self, request: Authenticated, /) -> Awaitable[Answer]:
        self.let_in.append(request.principal)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        answer.set_result(ANSWER)
        return answer

    async def ask(
        self, shown: str | None, endpoint: str | None = "a", certificate: ClientCertificate | None = None
    ) -> tuple[object, ...]:
        """Who was let in, or why not; and what the log says of it."""
        if self.is_forgetful:
            self.passes.forget()
        call = received(endpoint)
        call.credential, call.certificate = shown, certificate
        with capture_logs() as events:
            try:
                await self.stage(call)
            except GatewayError as refusal:
                said = type(refusal).__name__, str(refusal), getattr(refusal, "challenge", None)
                return *said, getattr(refusal, "retry_after", None), repr(events)
        return repr(self.let_in[-1]), repr(events)


@pytest.fixture
def door(tmp_path: Path) -> Door:
    mine = ApiKey(name="mine", sha256=digest("lg_a"), endpoints=["a"], expires=int(NOW) + 10)
    write_keys(tmp_path / "keys.json", [mine, ApiKey(name="all", sha256=digest("lg_ä"))])
    return Door(tmp_path, [NOW], {"a": "key", "b": "key"}, is_forgetful=False)


async def refused(door: Door, endpoint: str | None = "a") -> str:
    """What becomes of the holder of a pass, ``all`` for one that is let in."""
    return str((await door.ask("Bearer lg_a", endpoint))[0])


async def test_who_was_let_in_has_a_pass_for_that_endpoint_alone(door: Door) -> None:
    await door.ask("Bearer lg_a")
    found = [door.passes.find(("Bearer lg_a", endpoint)) for endpoint in ("a", "b", None)]

    assert [holder and holder.principal.name for holder in found] == ["mine", None, None]


async def test_a_pass_does_not_open_another_endpoint(door: Door) -> None:
    await door.ask("Bearer lg_a")

    assert await refused(door, "b") == "Forbidden"


async def test_a_pass_is_not_of_the_next_caller_on_the_same_connection(door: Door) -> None:
    said = [await door.ask(shown) for shown in ("Bearer lg_a", "Bearer lg_ä", "Bearer lg_b", None, "Bearer lg_a")]

    assert [principal.name for principal in door.let_in] == ["mine", "all", "mine"]
    assert [words[0] for words in said[2:4]] == ["Unauthenticated", "Unauthenticated"]


async def test_a_key_with_a_pass_expires_to_the_second(door: Door) -> None:
    await door.ask("Bearer lg_a")
    door.now[0] = NOW + 9.999
    before = await door.ask("Bearer lg_a")
    door.now[0] = NOW + 10

    assert ("mine" in str(before), await refused(door)) == (True, "Unauthenticated")


async def test_a_revoked_key_has_no_pass_from_the_next_look_on(door: Door, tmp_path: Path) -> None:
    await door.ask("Bearer lg_a")
    write_keys(tmp_path / "keys.json", [])
    door.keys.refresh()

    assert (await refused(door), door.passes.find(("Bearer lg_a", "a"))) == ("Unauthenticated", None)


async def test_a_key_that_may_do_less_has_no_pass_from_the_next_look_on(door: Door, tmp_path: Path) -> None:
    await door.ask("Bearer lg_a")
    write_keys(tmp_path / "keys.json", [ApiKey(name="mine", sha256=digest("lg_a"), endpoints=["b"])])
    door.keys.refresh()

    assert await refused(door) == "Forbidden"


@pytest.mark.parametrize("modes", [{"a": "token", "b": "key"}, {"b": "key", "c": "token"}])
async def test_other_endpoints_end_every_pass(door: Door, modes: dict[str, AuthMode]) -> None:
    await door.ask("Bearer lg_a")
    door.endpoints.install(modes)

    assert await refused(door) in ("Unauthenticated", "Forbidden")


async def test_a_pass_without_a_name_is_for_the_endpoint_that_was_the_only_one(door: Door) -> None:
    door.endpoints.install({"a": "key"})
    before = await door.ask("Bearer lg_a", None)
    door.endpoints.install({"b": "key"})

    assert ("mine" in str(before), await refused(door, None)) == (True, "Forbidden")


async def test_a_pass_lasts_no_longer_than_until_the_next_look(door: Door) -> None:
    await door.ask("Bearer lg_a")
    door.keys.refresh()

    assert (door.passes.find(("Bearer lg_a", "a")), door.passes.holder_of("Bearer lg_a")) == (None, None)


async def test_who_uses_a_pass_has_used_the_key(door: Door) -> None:
    await door.ask("Bearer lg_a")
    door.now[0] = NOW + 5
    await door.ask("Bearer lg_a")
    holder = door.passes.find(("Bearer lg_a", "a"))

    assert holder is not None
    assert holder.last_used == NOW + 5


@pytest.mark.parametrize("shown", ["bearer lg_a", "Bearer  lg_a", "Bearer lg_x", None, ""])
async def test_only_a_valid_key_in_its_usual_form_gets_a_pass(door: Door, shown: str | None) -> None:
    await door.ask(shown)

    assert door.passes.find((shown, "a")) is None


async def test_what_else_a_key_may_do_makes_no_pass_to_score(door: Door, tmp_path: Path) -> None:
    write_keys(tmp_path / "keys.json", [ApiKey(name="reader", sha256=digest("lg_a"), roles=(Role.READ,))])
    door.keys.refresh()
    door.endpoints.at_once(Presented("Bearer lg_a"), "a", Role.READ)

    assert await refused(door) == "Forbidden"


async def test_who_was_let_in_by_something_else_than_their_key_has_no_pass(door: Door) -> None:
    await door.ask("Bearer lg_a", "a")
    door.passes.grant("Bearer lg_a", "b", Principal("mine"))

    assert door.passes.find(("Bearer lg_a", "b")) is None


async def test_names_that_callers_make_up_fill_no_memory(door: Door) -> None:
    for number in range(100):
        with pytest.raises((Forbidden, Unauthenticated)):
            await door.endpoints(Presented("Bearer lg_a"), f"x{number}", Role.SCORE)
        await door.ask("Bearer lg_a", f"x{number}")
        await door.ask("Bearer lg_ä", f"x{number}")

    assert door.passes._granted == {}


_ask = st.tuples(
    st.just("ask"),
    st.sampled_from([*[f"Bearer {key}" for key in KEYS] * 5, "TOKEN", None, "Bearer ", "Bearer lg_b", "bearer lg_a"]),
    st.sampled_from(["a", "a", "b", "c", "x", None]),
    st.sampled_from([None, None, None, ClientCertificate("robot")]),
)
_steps = st.one_of(
    _ask,
    _ask,
    _ask,
    st.tuples(
        st.just("give"),
        st.sampled_from(KEYS),
        st.sampled_from([None, ["a"], ["b"]]),
        st.sampled_from([None, None, int(NOW) + 1, int(NOW) + 3]),
        st.sampled_from([Role.SCORE, Role.SCORE, Role.READ, Role.ADMIN]),
    ),
    st.tuples(st.just("take"), st.sampled_from(KEYS)),
    st.tuples(st.just("break")),
    st.tuples(st.just("wait"), st.sampled_from([0.25, 1.0, -1.0])),
    st.tuples(st.just("look")),
    st.tuples(st.just("install"), st.sampled_from(MODES)),
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(MODES), st.lists(_steps, min_size=20, max_size=50))
def test_whatever_changes_who_has_a_pass_is_treated_as_without_one(
    modes: dict[str, AuthMode], steps: list[tuple[Any, ...]]
) -> None:
    async def run(folder: Path) -> None:
        file, now = folder / "keys.json", [NOW]
        held = {"lg_a": ApiKey(name="k0", sha256=digest("lg_a"))}
        write_keys(file, list(held.values()))
        token = issue_token(signing_key(folder / "token-keys.json", NOW), "a", "ci", now=NOW, lifetime=3).accessToken
        doors = [Door(folder, now, modes, is_forgetful=is_forgetful) for is_forgetful in (False, True)]
        for step, *told in steps:
            if step == "ask":
                shown, endpoint, certificate = told
                shown = f"Bearer {token}" if shown == "TOKEN" else shown
                with_pass, without = [await door.ask(shown, endpoint, certificate) for door in doors]
                assert with_pass == without
            elif step == "give":
                key, endpoints, expires, role = told
                name = f"k{KEYS.index(key)}"
                held[key] = ApiKey(name=name, sha256=digest(key), endpoints=endpoints, expires=expires, roles=(role,))
                write_keys(file, list(held.values()))
            elif step == "take":
                held.pop(told[0], None)
                write_keys(file, list(held.values()))
            elif step == "break":
                file.write_text("no keys")
            elif step == "wait":
                now[0] += told[0]
            elif step == "look":
                for door in doors:
                    door.keys.refresh()
            else:
                for door in doors:
                    door.endpoints.install(told[0])
        one, other = ({each.digest: each.last_used for each in door.keys._ring} for door in doors)

        assert one == other

    with TemporaryDirectory() as folder, capture_logs():
        asyncio.run(run(Path(folder)))
