"""
Everything is changed on the real server while callers ask without pause: nobody loses a request or gets a wrong answer.

Each model answers ``x`` plus a number of its own, so an answer tells which model gave it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.admin import Admin
from tests.support.callers import calling
from tests.support.https import Https
from tests.support.stack import Stack, gone, run_lockgate, serving
from tests.support.stack import start as start_server
from tests.support.versions import Versions, body

SETTINGS = {"gateways": 2, "control": {"gentle_load_ms": 0}}
"""Callers take all of the CPU here: a model that loads behind them would take minutes for it."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Versions:
    made = Versions(tmp_path_factory.mktemp("versions") / "served", settings=SETTINGS)
    made.endpoint("sum", {"blue": made.r(1000), "green": made.onnx(2000)}, traffic={"blue": 100, "green": 0})
    made.endpoint("steady", {"blue": made.onnx(7)})
    return made


@pytest.fixture(scope="module")
def stack(folder: Versions, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One server with two gateways for all tests that leave it serving."""
    expected = ("control.refused", "control.unreadable", "this model cannot be loaded")
    with serving(folder.root, tmp_path_factory.mktemp("state"), expected=expected) as one:
        yield one


@pytest.fixture
def admin(stack: Stack, folder: Versions) -> Admin:
    """With the endpoint ``sum`` as it was at the start."""
    found = Admin(stack)
    folder.endpoint("sum", {"blue": folder.r(1000), "green": folder.onnx(2000)}, traffic={"blue": 100, "green": 0})
    found.change("PUT", "/endpoints/sum", json.loads((folder.root / "endpoints" / "sum.yaml").read_text()))
    return found


def control(stack: Stack, *arguments: str) -> tuple[int, str]:
    """A command that speaks to the admin API: exit code and everything that it printed."""
    done = run_lockgate(*arguments, "--admin-port", str(stack.admin_port), "--state-dir", str(stack.state))
    return done.returncode, done.stdout + done.stderr


def ask(stack: Stack, x: float = 1.0, endpoint: str = "sum") -> float:
    with Https(stack) as https:
        reply = https.post(f"/api/v1/endpoint/{endpoint}/score", body(x))
    assert reply.status == 200, reply.body
    return float(reply.json[0])


def test_a_hundred_changes_under_load_lose_no_request(stack: Stack, admin: Admin, folder: Versions) -> None:
    """Weights, limits, models and deployments, one change after the other as fast as they are taken."""
    r, net = folder.r(1000), folder.onnx(2000)
    others = [folder.onnx(3000), folder.r(4000)]
    adds = {"blue": {1000.0, 4000.0}, "green": {2000.0}, "extra": {3000.0}}
    before = admin.version
    with calling(stack, "sum", adds) as callers, calling(stack, "steady", {"blue": {7.0}}, rest=1, rpc=1) as steady:
        for number in range(100):
            share = number * 7 % 101
            document = {
                "name": "sum",
                "traffic": {"blue": share, "green": 100 - share},
                "deployments": {
                    # Every 25th change replaces a model, and so needs new workers.
                    "blue": {"model": str(others[1] if number % 50 >= 25 else r), "workers": 1},
                    "green": {"model": str(net), "workers": 1, "max_queue_rows": 1000 + number},
                },
            }
            if number % 25 == 12:
                document["deployments"]["extra"] = {"model": str(others[0]), "workers": 1}  # type: ignore[index]
            admin.change("PUT", "/endpoints/sum", document)
            callers.more(5)
        steady.more(5)

    assert admin.version == before + 100
    assert set(callers.answers) >= {"blue", "green"}


def test_a_file_that_is_edited_is_served(stack: Stack, admin: Admin, folder: Versions) -> None:
    with calling(stack, "sum", {"blue": {1000.0}, "green": {2000.0}}) as callers:
        seen = admin.version
        folder.endpoint("sum", {"blue": folder.r(1000), "green": folder.onnx(2000)}, traffic={"blue": 0, "green": 100})
        admin.converged(seen + 1)
        had = callers.answers["green"]
        callers.until(lambda answers: answers["green"] > had + 10)

    assert ask(stack) == 2001


def test_a_model_whose_files_change_is_loaded_anew(stack: Stack, admin: Admin, folder: Versions) -> None:
    changing = folder.r(5000, name="changing")
    admin.change("PUT", "/endpoints/sum/deployments/blue", {"model": str(changing), "workers": 1})
    with calling(stack, "sum", {"blue": {5000.0, 6000.0}}) as callers:
        seen = admin.version
        folder.r(6000, name="changing")
        admin.converged(seen + 1)
        callers.more()

    assert ask(stack) == 6001


def test_a_deployment_that_cannot_be_loaded_is_refused_and_the_old_one_serves(
    stack: Stack, admin: Admin, folder: Versions
) -> None:
    before = admin.progress["running"]
    with calling(stack, "sum", {"blue": {1000.0}}) as callers:
        seen = admin.version
        bad = folder.r(1, fails=True, name="bad")
        status, told = admin.ask(
            "PUT",
            "/endpoints/sum/deployments/blue?wait=50",
            {"model": str(bad), "workers": 1},
            If_Match=f'"{seen}"',
        )
        callers.more()

    assert (status, told["outcome"]) == (422, "refused")
    assert "this model cannot be loaded" in told["reason"]
    assert admin.progress["running"] == before


def test_a_file_that_is_wrong_is_told_with_its_place_and_mended_later(
    stack: Stack, admin: Admin, folder: Versions
) -> None:
    with calling(stack, "sum", {"blue": {1000.0}, "green": {2000.0}}) as callers:
        mark, seen = stack.mark(), admin.version
        file = folder.root / "endpoints" / "sum.yaml"
        whole = file.read_text()
        file.write_text(whole.replace("100", "97"))
        told = stack.event("control.unreadable", mark)
        callers.more()
        folder.endpoint("sum", {"blue": folder.r(1000), "green": folder.onnx(2000)}, traffic={"blue": 1, "green": 99})
        admin.converged(seen + 1)

    assert "sum.yaml" in told["reason"]
    assert "97" in told["reason"]


def test_endpoints_come_and_go_while_others_are_asked(stack: Stack, admin: Admin, folder: Versions) -> None:
    with calling(stack, "steady", {"blue": {7.0}}) as callers:
        seen = admin.version
        folder.endpoint("passing", {"blue": folder.onnx(8000)})
        admin.converged(seen + 1)
        found = ask(stack, 1.0, "passing")
        folder.remove("passing")
        admin.converged(seen + 2)
        with Https(stack) as https:
            gone_now = https.post("/api/v1/endpoint/passing/score", body(1.0)).status
        callers.more()
    admin.until(lambda told: told["phase"] == "settled")

    assert [found, gone_now] == [8001, 404]
    assert not [process for process in stack.processes() if process.deployment.startswith("passing/")]


def test_diff_history_and_rollback_on_the_command_line(stack: Stack, admin: Admin, folder: Versions) -> None:
    seen = admin.version
    changed = control(stack, "traffic", "sum", "blue=30", "green=70")
    listed = control(stack, "history")
    back = control(stack, "rollback", str(seen))
    weights = admin.ask("GET", "/endpoints/sum/traffic")[1]

    assert changed[0] == back[0] == 0, (changed, back)
    assert "admin" in listed[1]
    assert "blue 30, green 70" in listed[1]
    assert weights == {"blue": 100, "green": 0}
    assert admin.version == seen + 2


def test_a_gateway_that_is_killed_while_a_model_loads_comes_back_with_the_old_version_and_goes_on_to_the_new(
    stack: Stack, admin: Admin, folder: Versions
) -> None:
    waiting = folder.r(9000, waits=True, name="waiting")
    seen = admin.version
    mark = stack.mark()
    admin.ask("PUT", "/endpoints/sum/deployments/blue", {"model": str(waiting), "workers": 1}, If_Match=f'"{seen}"')
    stack.event("control.converging", mark)
    for pid in stack.gateways():
        os.kill(pid, 9)
    admin.until(lambda told: None in told["gateways"].values())  # the supervisor has heard of it
    admin.until(lambda told: set(told["gateways"].values()) == {seen})
    old = ask(stack)
    folder.gate(waiting).touch()
    admin.converged(seen + 1)

    assert [old, ask(stack)] == [1001, 9001]


def test_a_supervisor_that_is_killed_while_a_model_loads_leaves_nothing_half_done(
    tmp_path: Path,
) -> None:
    """What is there afterwards is the whole new state: that is what the files say."""
    mine = Versions(tmp_path / "served")
    mine.endpoint("sum", {"blue": mine.r(1000)})
    stack = start_server(mine.root, tmp_path)
    try:
        stack.ready()
        admin = Admin(stack)
        waiting = mine.r(9000, waits=True, name="waiting")
        mark = stack.mark()
        mine.endpoint("sum", {"blue": waiting})
        stack.event("control.converging", mark)
        descriptors = [os.pidfd_open(process.pid) for process in stack.processes()]
        stack.process.kill()
        gone(descriptors)
    finally:
        stack.stop()
    mine.gate(waiting).touch()
    with serving(mine.root, tmp_path, expected=None) as again:
        found = ask(again)
        admin = Admin(again)
        progress = admin.progress

    assert found == 9001
    assert progress["running"] == progress["wanted"] == 2
