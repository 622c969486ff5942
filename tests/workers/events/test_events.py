"""Events share one pipe between processes and survive models that print."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from workers import events


def test_an_event_is_one_line_of_json(capfd: pytest.CaptureFixture[str]) -> None:
    events.emit("ready", worker="tumor/blue/0", pid=7)

    assert json.loads(capfd.readouterr().out) == {"event": "ready", "worker": "tumor/blue/0", "pid": 7}


def test_a_long_error_is_cut_so_that_the_line_stays_atomic(capfd: pytest.CaptureFixture[str]) -> None:
    events.emit("failed", error="é" * 10_000)
    line = capfd.readouterr().out

    assert len(line.encode()) <= 4096
    assert json.loads(line)["error"].startswith("ééé")


def test_what_a_model_prints_goes_to_the_log_once_stdout_is_claimed() -> None:
    program = (
        "import os; from workers import events; events.claim_stdout(); events.claim_stdout();"
        "os.write(1, b'noise'); print('chatter', flush=True); events.emit('ready', worker='w')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)

    assert done.stdout == '{"event":"ready","worker":"w"}\n'
    assert done.stderr == "noisechatter\n"


def test_a_parent_that_has_gone_does_not_break_a_worker() -> None:
    program = (
        "import os; from workers import events; r, w = os.pipe(); os.dup2(w, 1); os.close(r); os.close(w);"
        "events.emit('ready')"
    )
    done = subprocess.run([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, timeout=30, check=False)

    assert (done.returncode, done.stderr) == (0, "")
