"""What a change does to the machine: priorities while models load, sockets, the store of features, settings."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.commands.settings_watch import _EVERY
from tests.support.admin import Admin
from tests.support.https import Https
from tests.support.stack import PATIENCE, Stack, serving
from tests.support.versions import Versions
from workers import gentle

VIEW = """
name: stones
entities: [{name: stone_id, type: int64}]
features: [{name: x, type: float64}]
seed: stones.csv
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Versions:
    made = Versions(tmp_path_factory.mktemp("versions") / "served")
    made.endpoint("sum", {"blue": made.onnx(1000)})
    return made


@pytest.fixture(scope="module")
def stack(folder: Versions, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with serving(folder.root, tmp_path_factory.mktemp("state")) as one:
        yield one


@pytest.fixture
def admin(stack: Stack) -> Admin:
    return Admin(stack)


def priorities(session: int) -> set[int]:
    return {os.sched_getscheduler(thread) for thread in gentle._threads(session)}


@pytest.mark.skipif(not gentle.can_return(), reason="the way back from SCHED_IDLE takes a right")
def test_what_loads_is_behind_all_others_and_what_serves_is_not(stack: Stack, admin: Admin, folder: Versions) -> None:
    waiting = folder.r(2000, waits=True, name="waiting")
    mark, seen = stack.mark(), admin.version
    folder.endpoint("sum", {"blue": folder.onnx(1000), "green": waiting}, traffic={"blue": 100, "green": 0})
    stack.event("control.converging", mark)
    admin.until(lambda told: told["phase"] == "starting")
    group = next_group(stack, "sum/green")
    while_loading = priorities(group)
    folder.gate(waiting).touch()
    admin.converged(seen + 1)

    assert while_loading == {os.SCHED_IDLE}
    assert priorities(group) == {os.sched_getscheduler(0)}
    assert len(stack.workers("sum/green")) == 1


def test_nothing_of_a_deployment_is_left_when_it_has_gone(stack: Stack, admin: Admin, folder: Versions) -> None:
    seen, mark = admin.version, stack.mark()
    folder.endpoint("other", {"blue": folder.onnx(1)})
    admin.converged(seen + 1)
    address = stack.address("other/blue").removeprefix("unix:")
    was_there = Path(address).exists()
    folder.remove("other")
    stack.event("control.stopped", mark, groups=["other/blue"])

    assert was_there
    assert not Path(address).exists()


def test_the_first_view_brings_its_store_along(stack: Stack, admin: Admin, folder: Versions) -> None:
    features = folder.root / "features"
    features.mkdir()
    (features / "stones.csv").write_text("stone_id,x\n7,0.5\n")
    seen = admin.version
    (features / "stones.yaml").write_text(VIEW)
    admin.converged(seen + 1)
    seen = admin.version
    folder.endpoint("bound", {"blue": {"model": str(folder.onnx(1)), "features": {"x": "stones:x"}}})
    admin.converged(seen + 1)
    with Https(stack) as https:
        reply = https.post("/api/v1/endpoint/bound/score", {"input_data": [{"stone_id": 7}]})

    assert (reply.status, reply.json) == (200, [1.5])


def test_a_setting_that_is_read_once_is_told_to_need_a_restart(stack: Stack, admin: Admin, folder: Versions) -> None:
    mark = stack.mark()
    (folder.root / "lockgate.yaml").write_text(json.dumps({"gateways": 2}))
    stack.event("control.needs_restart", mark, timeout=20 * _EVERY, settings=["gateways"])

    assert admin.progress["needs_restart"] == ["gateways"]


def next_group(stack: Stack, deployment: str) -> int:
    """The process that loads it, once that is there."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = [p.pid for p in stack.processes() if p.deployment == deployment and p.parent == stack.process.pid]
        if found:
            return found[0]
    raise AssertionError(f"no process loads {deployment}")
