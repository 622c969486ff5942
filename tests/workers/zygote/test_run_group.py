"""The group process as a whole, with real R."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from workers.model_digest import model_digest

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.r


@contextmanager
def started(
    model: Path, sockets: Path, digest: str = "", *, count: int = 1, log: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[str]]:
    workers = [{"name": f"e/d/{i}", "address": f"unix:{sockets}/{i}.sock"} for i in range(count)]
    options = {"model": str(model), "digest": digest, "workers": workers}
    process = subprocess.Popen(
        [sys.executable, "-m", "workers", "--options", json.dumps(options)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env={**os.environ, "LOCKGATE_TEST_SECRET": "do not pass on", "TMPDIR": str(sockets)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until(process: subprocess.Popen[str], event: str) -> dict[str, Any]:
    assert process.stdout
    for line in process.stdout:
        found: dict[str, Any] = json.loads(line)
        if found["event"] == event:
            return found
    raise AssertionError(f"no {event}")


@pytest.fixture
def script(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "score.R").write_text('print("loading")\nrun <- function(data) data\n')
    return folder


def test_a_killed_r_worker_is_back_with_the_model_it_shares(script: Path, tmp_path: Path) -> None:
    with started(script, tmp_path) as process:
        first = until(process, "ready")["pid"]
        os.kill(first, signal.SIGKILL)
        second = until(process, "ready")["pid"]

    assert first != second


def test_a_killed_r_worker_is_back_with_the_old_model_although_its_files_were_replaced(
    script: Path, tmp_path: Path
) -> None:
    with started(script, tmp_path, model_digest(str(script))) as process:
        first = until(process, "ready")["pid"]
        (script / "score.R").write_text("stop('not this one')")
        os.kill(first, signal.SIGKILL)
        second = until(process, "ready")["pid"]

    assert first != second


def test_a_group_does_not_load_other_files_than_those_that_it_is_started_for(script: Path, tmp_path: Path) -> None:
    digest = model_digest(str(script))
    (script / "score.R").write_text("run <- function(data) data + 1\n")
    with started(script, tmp_path, digest) as process:
        failed = until(process, "failed")

        assert failed["error"] == f"{script}: the model's files have changed since this deployment was started"
        assert process.wait(timeout=60) == 78


def test_secrets_stay_out_and_r_gets_a_large_stack(script: Path, tmp_path: Path) -> None:
    with started(script, tmp_path) as process:
        pid = until(process, "ready")["pid"]
        environ = Path(f"/proc/{pid}/environ").read_text()
        limits = Path(f"/proc/{pid}/limits").read_text()

    assert "LOCKGATE_TEST_SECRET" not in environ
    assert "OMP_NUM_THREADS=1" in environ
    assert next(line for line in limits.splitlines() if "stack" in line).split()[3] == str(64 * 2**20)


def test_sigterm_leaves_no_temporary_files(script: Path, tmp_path: Path) -> None:
    with started(script, tmp_path) as process:
        until(process, "ready")
        process.send_signal(signal.SIGTERM)

        assert process.wait(timeout=60) == 0
        assert list(tmp_path.glob("lockgate-*")) == []


def test_a_model_that_cannot_be_served_is_one_failed_event_and_status_78(tmp_path: Path) -> None:
    (tmp_path / "model.rds").write_bytes(b"not R")
    with started(tmp_path / "model.rds", tmp_path) as process:
        failed = until(process, "failed")

        assert "model.rds" in failed["error"]
        assert process.wait(timeout=60) == 78


def test_a_model_is_warmed_up_before_the_fork_and_what_it_warns_of_then_is_told_once(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "score.R").write_text(
        "predict_rows <- function(model, rows) {\n"
        f"  cat(Sys.getpid(), nrow(rows), '\\n', file = '{tmp_path}/scored', append = TRUE)\n"
        "  warning('an old model'); rows$x\n}\n"
    )
    (folder / "signature.json").write_text('{"inputs": [{"name": "x", "type": "float"}], "example": [[2.5]]}')
    with (tmp_path / "log").open("w") as log, started(folder, tmp_path, count=2, log=log.fileno()) as process:
        until(process, "ready")
        until(process, "ready")
    told = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines() if "warned" in line]
    scored = [line.split() for line in (tmp_path / "scored").read_text().splitlines()]

    assert [(event["event"], event["deployment"], event["message"]) for event in told] == [
        ("worker.warm_up_warned", "e/d", "an old model")
    ]
    assert [int(rows) for _, rows in scored] == [3, 1, 1, 2, 4, 8, 16, 32, 64]
    assert {int(pid) for pid, _ in scored} == {process.pid}
