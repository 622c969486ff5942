"""Two real servers share one desired state in Redis: both run what either was told, also after one was cut off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.admin import Admin
from tests.support.cable import Cable, cable
from tests.support.callers import calling
from tests.support.https import Https
from tests.support.stack import Stack, serving
from tests.support.valkey import Valkey, private_valkey
from tests.support.versions import Versions, body

ADDS = {"blue": {1000.0}, "green": {2000.0}}
EXPECTED = ("control.refused",)


@dataclass(frozen=True, slots=True)
class Pair:
    """``second`` reaches the Redis by way of ``link``."""

    first: Stack
    second: Stack
    link: Cable
    store: Valkey

    def set(self, blue: int, by: Stack) -> int:
        """Change the weights through one of them; the version."""
        told = Admin(by).change("PUT", "/endpoints/sum/traffic", {"blue": blue, "green": 100 - blue})
        return int(told["version"])


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    root = tmp_path_factory.mktemp("shared")
    with private_valkey() as store, cable(store.socket) as link:
        urls = {"one": f"unix://{store.socket}", "other": f"redis://127.0.0.1:{link.port}"}
        folders = {name: _folder(root / name, url) for name, url in urls.items()}
        with (
            serving(folders["one"].root, root / "state-one", expected=EXPECTED) as first,
            serving(folders["other"].root, root / "state-other", expected=EXPECTED) as second,
        ):
            yield Pair(first, second, link, store)


def _folder(root: Path, url: str) -> Versions:
    """The same models for both: their digests are in the state, and their paths."""
    made = Versions(root, settings={"control": {"source": "redis", "redis_url": url, "gentle_load_ms": 0}})
    models = Versions(root.parent / f"models-of-{root.name}")
    shared = root.parent / "models"
    if not shared.exists():
        models.r(1000)
        models.onnx(2000)
        models.onnx(3000)
        (models.root / "models").rename(shared)
    made.endpoint("sum", {"blue": shared / "r-1000", "green": shared / "onnx-2000"}, traffic={"blue": 100, "green": 0})
    return made


def ask(stack: Stack, x: float = 1.0) -> float:
    with Https(stack) as https:
        reply = https.post("/api/v1/endpoint/sum/score", body(x))
    assert reply.status == 200, reply.body
    return float(reply.json[0])


def test_what_one_is_told_both_serve(pair: Pair) -> None:
    with calling(pair.first, "sum", ADDS, rest=1, rpc=1), calling(pair.second, "sum", ADDS, rest=1, rpc=1):
        version = pair.set(0, by=pair.second)
        Admin(pair.first).converged(version)
        Admin(pair.second).converged(version)

    assert [ask(pair.first), ask(pair.second)] == [2001, 2001]


def test_both_know_who_changed_what(pair: Pair) -> None:
    pair.set(60, by=pair.first)
    told = [Admin(each).ask("GET", "/history")[1]["entries"] for each in (pair.first, pair.second)]

    assert told[0] == told[1]
    assert (told[0][0]["by"], told[0][0]["what"]) == ("admin", "traffic of sum: blue 60, green 40")


def test_of_two_changes_of_the_same_version_one_is_refused(pair: Pair) -> None:
    seen = Admin(pair.first).version
    weights = [{"blue": 11, "green": 89}, {"blue": 12, "green": 88}]
    answers = [
        Admin(each).ask("PUT", "/endpoints/sum/traffic", wanted, If_Match=f'"{seen}"')[0]
        for each, wanted in zip((pair.first, pair.second), weights, strict=True)
    ]

    assert answers == [202, 412]


def test_one_that_was_cut_off_goes_on_and_catches_up(pair: Pair) -> None:
    """It serves what it knows, and everything that it missed when it can reach the store again."""
    start = pair.set(100, by=pair.first)
    Admin(pair.second).converged(start)
    with calling(pair.second, "sum", ADDS, rest=1, rpc=1) as callers:
        mark = pair.second.mark()
        pair.link.pull()
        pair.second.event("control.store_lost", mark)
        pair.set(50, by=pair.first)
        version = pair.set(0, by=pair.first)
        old = ask(pair.second)
        refused = Admin(pair.second).ask("PUT", "/endpoints/sum/traffic", {"blue": 1, "green": 99})[0]
        pair.link.plug()
        Admin(pair.second).converged(version)
        callers.more()

    assert [old, ask(pair.second)] == [1001, 2001]
    assert refused == 503


def test_a_redis_that_has_lost_everything_is_given_what_was_there(pair: Pair) -> None:
    before = pair.set(33, by=pair.first)
    Admin(pair.second).converged(before)
    marks = [each.mark() for each in (pair.first, pair.second)]
    pair.store.kill()
    for each, mark in zip((pair.first, pair.second), marks, strict=True):
        each.event("control.store_lost", mark)
    pair.store.restart()
    after = pair.set(0, by=pair.first)
    Admin(pair.second).converged(after)

    assert after == before + 1
    assert [ask(pair.first), ask(pair.second)] == [2001, 2001]
