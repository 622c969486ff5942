"""Whoever may read some endpoints only is told nothing of who did what elsewhere, nor of others' names and paths."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.core.errors import ConfigError
from tests.support.admin_state import serving_state

WEIGHTS = {"blue": 80, "green": 20}
NOT_YOURS = "something that you may not read stands in the way"


async def test_who_made_a_version_is_for_those_who_may_read_everything(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        key = await admin.made("ci", "deploy", endpoints=["price"])
        await admin.ask("DELETE", "/endpoints/tumor", seen="*")
        state = (await admin.ask("GET", "/state", key=key)).json["entry"]
        newest = (await admin.ask("GET", "/status", key=key)).json["newest"]
        nothing = (await admin.ask("PUT", "/endpoints/price/traffic", {"blue": 90, "green": 10}, key)).json
        whole = (await admin.ask("GET", "/status")).json["newest"]

        assert [(each["version"], each["by"], each["what"]) for each in (state, newest)] == [(2, "", "")] * 2
        assert (nothing["version"], nothing["what"]) == (2, "")
        assert (whole["by"], whole["what"]) == ("admin", "tumor deleted")


@pytest.mark.parametrize(
    ("reason", "is_told"),
    [
        ("price/blue: no such column", True),
        ("endpoints.price.deployments.blue.model: does not exist", True),
        ("tumor/blue: no such column", False),
        ("price/blue: not beside tumor", False),
        ("endpoints.pricey.traffic: 97", False),
        ("/etc/served/endpoints/x.yaml: no YAML", False),
    ],
)
async def test_a_refusal_is_told_in_full_only_where_it_is_about_ones_own(
    tmp_path: Path, reason: str, *, is_told: bool
) -> None:
    async with serving_state(tmp_path) as admin:
        key = await admin.made("ci", "deploy", endpoints=["price"])
        asked = asyncio.create_task(admin.ask("PUT", "/endpoints/price/traffic?wait=20", WEIGHTS, key))
        await admin.running.waited.wait()
        admin.running.refuses(2, reason)
        answer = await asked
        status = [(await admin.ask("GET", "/status", key=each)).json["progress"]["refused"] for each in (key, "")]

        assert (answer.status, answer.message == reason, status[0]["reason"] == reason) == (422, is_told, is_told)
        assert status[1]["reason"] == reason
        assert is_told or answer.message.startswith(NOT_YOURS)


async def test_what_is_wrong_with_others_is_not_told_with_ones_own_change(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        key = await admin.made("ci", "deploy", endpoints=["price"])
        admin.replace_files("tumor")
        change = [await admin.ask("PUT", "/endpoints/price/traffic", WEIGHTS, each) for each in (key, "")]
        difference = await admin.ask("POST", "/diff", {"endpoints": {"price": admin.price}}, key)

        assert [reply.status for reply in change] == [400, 400]
        assert (change[0].message[:49], difference.json["problem"][:49]) == (NOT_YOURS, NOT_YOURS)
        assert admin.model("tumor") in change[1].message


async def test_why_the_newest_cannot_be_read_is_told_to_who_may_read_everything(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        key = await admin.made("ci", "read", endpoints=["price"])
        admin.source.broken = ConfigError("tumor.yaml, line 3", "expected YAML")
        admin.running.has_problem("tumor.yaml, line 3: expected YAML")
        status = [(await admin.ask("GET", "/status", key=each)).json for each in (key, "")]
        state = await admin.ask("GET", "/state", key=key)

        assert ["tumor" in each["problem"] for each in status] == [False, True]
        assert ["tumor" in each["progress"]["problem"] for each in status] == [False, True]
        assert (state.status, "tumor" in state.message) == (503, False)


async def test_what_cannot_go_on_at_the_moment_is_not_answered_as_refused(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        asked = asyncio.create_task(admin.ask("PUT", "/endpoints/price/traffic?wait=20", WEIGHTS))
        await admin.running.waited.wait()
        admin.running.has_problem("no gateway can say at the moment")
        status = (await admin.ask("GET", "/status")).json["progress"]
        admin.running.runs(2)

        assert (await asked).json["outcome"] == "running"
        assert (status["problem"], status["refused"]) == ("no gateway can say at the moment", None)
