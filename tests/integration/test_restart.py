"""A restart after a version was refused: what ran before serves, and what was refused is tried anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.admin import Admin
from tests.support.https import Https
from tests.support.stack import Stack, serving
from tests.support.versions import Versions, body

REFUSES = "this model cannot be loaded"
EXPECTED = ("control.refused", "control.started_from_last_run", REFUSES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Versions:
    return Versions(tmp_path_factory.mktemp("restarted") / "served")


@pytest.fixture(scope="module")
def needed(folder: Versions) -> Path:
    """What the second version needs, besides its own files, in order to load."""
    return folder.root / "needed"


@pytest.fixture(scope="module")
def state(folder: Versions, needed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a server that ran version 1, has refused version 2 and was stopped."""
    state = tmp_path_factory.mktemp("state")
    blue, green = folder.onnx(1000), folder.r(2000, fails=True, name="green")
    script = green / "score.R"
    script.write_text(script.read_text().replace("if (TRUE)", f'if (!file.exists("{needed}"))'))
    folder.endpoint("sum", {"blue": blue})
    with serving(folder.root, state, expected=EXPECTED) as stack:
        folder.endpoint("sum", {"blue": blue, "green": green}, traffic={"blue": 70, "green": 30})
        Admin(stack).until(lambda told: told["refused"] is not None)
    return state


@pytest.fixture(scope="module")
def again(folder: Versions, state: Path) -> Iterator[Stack]:
    with serving(folder.root, state, expected=EXPECTED) as stack:
        yield stack


def answers(stack: Stack) -> set[tuple[int, str]]:
    with Https(stack) as https:
        replies = [https.post("/api/v1/endpoint/sum/score", body(1.0)) for _ in range(40)]
    return {(reply.status, str(reply.json)) for reply in replies}


def test_what_ran_before_is_served_where_a_model_is_missing(tmp_path: Path) -> None:
    folder = Versions(tmp_path / "served")
    folder.endpoint("sum", {"blue": folder.onnx(1000)})
    with serving(folder.root, tmp_path, expected=EXPECTED) as stack:
        folder.endpoint("sum", {"blue": folder.root / "nowhere"})
        Admin(stack).until(lambda told: told["refused"] is not None)
    with serving(folder.root, tmp_path, expected=EXPECTED) as stack:
        told = Admin(stack).until(lambda found: found["refused"] is not None)

        assert answers(stack) == {(200, "[1001.0]")}
        assert (told["running"], told["wanted"]) == (1, 2)


def test_what_ran_before_is_served_and_the_refusal_is_told(again: Stack) -> None:
    told = Admin(again).until(lambda found: found["refused"] is not None)

    assert answers(again) == {(200, "[1001.0]")}
    assert (told["running"], told["wanted"], told["refused"]["version"]) == (1, 2, 2)
    assert REFUSES in told["refused"]["reason"]


def test_what_was_refused_is_taken_once_it_loads(again: Stack, folder: Versions, state: Path, needed: Path) -> None:
    Admin(again).until(lambda found: found["refused"] is not None)
    again.stop()
    needed.touch()
    with serving(folder.root, state, expected=EXPECTED) as taken:
        Admin(taken).converged(2)

        assert answers(taken) == {(200, "[1001.0]"), (200, "[2001.0]")}

    with serving(folder.root, state) as after:
        assert Admin(after).progress["running"] == 2
        assert "control.started_from_last_run" not in after.output()
