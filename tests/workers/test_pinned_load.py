"""Loading a model only from the files that its group was started for."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.support import onnx_models
from tests.support.children import Watched, running
from tests.support.scripted_runtime import loaded
from workers.child import ChildSpec
from workers.model_digest import model_digest
from workers.options import GroupOptions, WorkerOptions
from workers.pinned_load import load_pinned
from workers.runtimes.base import Batch, Loaded, LoadError, Result, Runtime

ROOT = Path(__file__).parents[2]
CHANGED = "the model's files have changed since this deployment was started"


class Model(Runtime):
    """Does ``act`` while it loads."""

    loads_before_fork = False

    def __init__(self, act: Callable[[], object] = int) -> None:
        self._act = act
        self.loads = 0

    def load(self) -> Loaded:
        self.loads += 1
        self._act()
        return loaded()

    def score(self, batch: Batch) -> Result:
        return Result(batch.records)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model.onnx").write_bytes(b"one")
    return tmp_path / "m"


@pytest.fixture
def group(folder: Path) -> GroupOptions:
    return GroupOptions(model=str(folder), digest=model_digest(str(folder)), workers=[])


def test_the_files_that_are_meant_are_loaded(group: GroupOptions) -> None:
    model = Model()
    load_pinned(model, group)

    assert model.loads == 1


def test_other_files_are_refused_before_any_is_loaded(folder: Path, group: GroupOptions) -> None:
    (folder / "model.onnx").write_bytes(b"two")
    model = Model()

    with pytest.raises(LoadError, match=CHANGED):
        load_pinned(model, group)
    assert model.loads == 0


def test_files_that_change_while_they_are_read_are_refused(folder: Path, group: GroupOptions) -> None:
    model = Model(lambda: (folder / "model.onnx").write_bytes(b"two"))

    with pytest.raises(LoadError, match=CHANGED):
        load_pinned(model, group)


def test_files_that_are_gone_are_named(folder: Path, group: GroupOptions) -> None:
    (folder / "model.onnx").unlink()
    gone = msgspec.structs.replace(group, model=str(folder / "model.onnx"))

    with pytest.raises(LoadError, match=r"model\.onnx: cannot be read: No such file"):
        load_pinned(Model(), gone)


def test_without_a_digest_any_files_will_do(folder: Path, group: GroupOptions) -> None:
    model = Model(lambda: (folder / "model.onnx").write_bytes(b"two"))
    load_pinned(model, msgspec.structs.replace(group, digest=""))

    assert model.loads == 1


async def test_workers_that_die_come_back_with_the_old_model_only(tmp_path: Path) -> None:
    """The real processes: both workers of one group are killed, one after the other, while another model is there."""
    path = onnx_models.echo(tmp_path / "model.onnx", 2)
    old = path.read_bytes()
    options = GroupOptions(
        model=str(path),
        digest=model_digest(str(path)),
        workers=[WorkerOptions(name=f"e/d/{i}", address=f"unix:{tmp_path}/{i}.sock") for i in range(2)],
    )
    async with running([_child(options)], limit=90) as watched:
        await watched.ready()
        state = watched.state("e/d")
        onnx_models.echo(path, 3)
        _kill_a_worker(watched)
        await watched.until(lambda: state.phase == "failed")

        assert (len(state.ready), state.reason) == (1, f"{path}: {CHANGED}")
        assert state.restarts == 0

        _kill_a_worker(watched)
        await watched.until(lambda: state.restarts == 1)

        assert state.reason == f"{path}: {CHANGED}"

        path.write_bytes(old)
        await watched.ready()

        assert len(state.ready) == 2


def _child(options: GroupOptions) -> ChildSpec:
    return ChildSpec(
        name="e/d",
        argv=(sys.executable, "-m", "workers", "--options", msgspec.json.encode(options).decode()),
        env={"PYTHONPATH": str(ROOT)},
        parts=tuple(worker.name for worker in options.workers),
        reload_wait=0.5,
    )


def _kill_a_worker(watched: Watched) -> None:
    parent = watched.state("e/d").pid
    os.kill(int(Path(f"/proc/{parent}/task/{parent}/children").read_text().split()[0]), signal.SIGKILL)
