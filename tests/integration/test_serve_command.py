"""``lockgate serve`` as a user starts it: real processes, a real model, the printed commands."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.served import ROOT, Served, lockgate, serving

MODEL = ROOT / "examples" / "models" / "tumor-boosting"
NAME = "tumor-boosting"
ROWS = ROOT / "examples" / "requests" / "tumor.csv"


def is_ready(line: str) -> bool:
    return '"serve.ready"' in line


def ended(pidfds: list[int], seconds: float) -> bool:
    """Whether all these processes end in time."""
    try:
        for pidfd in pidfds:
            if not select.select([pidfd], [], [], seconds)[0]:
                return False
    finally:
        for pidfd in pidfds:
            os.close(pidfd)
    return True


def read_by_another(fifo: Path) -> int:
    """The end to write to, once another process reads; it does so until this is closed."""
    found: list[int] = []
    opening = threading.Thread(target=lambda: found.append(os.open(fifo, os.O_WRONLY)), daemon=True)
    opening.start()
    opening.join(60)
    (descriptor,) = found
    return descriptor


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(MODEL, tmp_path_factory.mktemp("serve")) as running:
        running.until(is_ready)
        yield running


def test_the_curl_command_that_it_prints_works(served: Served) -> None:
    start = next(i for i, line in enumerate(served.lines) if line.startswith("  curl"))
    command = "".join(served.lines[start : start + 4])
    answer = subprocess.run(["bash", "-c", command], cwd=served.folder, capture_output=True, text=True, check=True)
    (row,) = json.loads(answer.stdout)

    assert row["label"] in ("malignant", "benign")


def test_the_admin_api_says_that_it_is_ready(served: Served) -> None:
    status, _ = served.ask_admin("/readyz")

    assert status == 200
    assert served.readiness()["endpoints"] == {NAME: {"blue": {"ready": True, "weight": 100, "reason": ""}}}


def test_http_and_grpc_give_the_same_answer_for_a_csv_file(served: Served) -> None:
    http = lockgate("invoke", NAME, "--data", ROWS, "--port", str(served.http), cwd=served.folder)
    grpc = lockgate("invoke", NAME, "--data", ROWS, "--port", str(served.grpc), "--protocol", "grpc", cwd=served.folder)
    rows = json.loads(http.stdout)["predictions"]

    assert len(rows) > 1
    assert json.loads(grpc.stdout) == rows
    assert http.stderr.endswith(" ms\n")


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_models_own_example_can_be_sent(served: Served, protocol: str) -> None:
    port = served.http if protocol == "http" else served.grpc
    done = lockgate(*("invoke", NAME, "--example", "--port", str(port), "--protocol", protocol), cwd=served.folder)

    assert (done.returncode, len(json.loads(done.stdout))) == (0, 1), done.stderr


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_refusal_is_one_line_and_exit_code_1(served: Served, protocol: str) -> None:
    port = served.http if protocol == "http" else served.grpc
    done = lockgate(*("invoke", "nope", "--data", ROWS, "--port", str(port), "--protocol", protocol), cwd=served.folder)

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)


def test_a_second_server_in_the_same_state_directory_is_refused(served: Served) -> None:
    done = lockgate("serve", MODEL, cwd=served.folder)

    assert done.returncode == 2
    assert done.stderr == "lockgate: .lockgate: another lockgate serves from this state directory; use --state-dir\n"


def test_a_second_server_on_the_same_port_is_refused(served: Served, tmp_path: Path) -> None:
    done = lockgate("serve", MODEL, "--host", "127.0.0.1", "--port", str(served.http), cwd=tmp_path)

    assert done.returncode == 2
    assert done.stderr == (f"lockgate: --port: 127.0.0.1:{served.http} cannot be listened on: Address already in use\n")


def test_a_gateway_that_is_killed_comes_back_and_is_counted(served: Served) -> None:
    os.kill(served.child("gateway"), signal.SIGKILL)
    served.until(lambda line: '"gateway.started"' in line)
    served.until(lambda line: '"pool.connected"' in line)
    done = lockgate("invoke", NAME, "--example", "--port", str(served.http), cwd=served.folder)

    assert done.returncode == 0
    assert 'lockgate_process_restarts_total{process="gateway/0"} 1.0' in served.ask_admin("/metrics")[1]


def test_sigterm_stops_everything_and_is_a_success(tmp_path: Path) -> None:
    with serving(MODEL, tmp_path) as running:
        running.until(is_ready)
        pidfds = [os.pidfd_open(pid) for pid in running.descendants()]
        code = running.terminate()

        assert code == 0
        assert len(pidfds) >= 3
        assert ended(pidfds, 0)


def test_a_disk_that_does_not_answer_keeps_no_server_from_ending(tmp_path: Path) -> None:
    served = tmp_path / "served"
    (served / "endpoints").mkdir(parents=True)
    endpoint = served / "endpoints" / "tumor.yaml"
    endpoint.write_text(f"name: tumor\ndeployments: {{blue: {{model: {MODEL}}}}}\n")
    with serving(served, tmp_path) as running:
        running.until(is_ready)
        (history,) = (tmp_path / ".lockgate" / "history").glob("folder-*")
        os.mkfifo(history / "unfinished.json")
        endpoint.write_text(endpoint.read_text() + "# edited\n")
        hanging = read_by_another(history / "unfinished.json")
        try:
            code = running.terminate()
        finally:
            os.close(hanging)

    assert code == 0
    assert any('"serve.left_without_threads"' in line for line in running.lines)


def test_nothing_outlives_a_server_that_is_killed(tmp_path: Path) -> None:
    with serving(MODEL, tmp_path) as running:
        running.until(is_ready)
        pidfds = [os.pidfd_open(pid) for pid in running.descendants()]
        running.process.kill()

        assert len(pidfds) >= 3
        assert ended(pidfds, 30)


def test_a_server_whose_only_model_cannot_be_loaded_ends_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"this is no model")
    done = lockgate("serve", "broken.onnx", "--port", "0", "--grpc-port", "0", "--admin-port", "0", cwd=tmp_path)

    assert done.returncode == 1
    assert "no model could be loaded" in done.stdout
    assert "broken/blue: failed: " in done.stdout


def test_one_model_that_cannot_be_loaded_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "endpoints").mkdir()
    (tmp_path / "broken.onnx").write_bytes(b"this is no model")
    (tmp_path / "endpoints" / "good.yaml").write_text(f"name: good\ndeployments: {{blue: {{model: {MODEL}}}}}\n")
    (tmp_path / "endpoints" / "bad.yaml").write_text("name: bad\ndeployments: {blue: {model: ../broken.onnx}}\n")
    with serving(tmp_path, tmp_path) as running:
        running.until(is_ready)
        endpoints = running.readiness()["endpoints"]
        done = lockgate("invoke", "good", "--example", "--port", str(running.http), cwd=tmp_path)

        assert done.returncode == 0
        assert endpoints["good"]["blue"]["ready"]
        assert not endpoints["bad"]["blue"]["ready"]
        assert "broken.onnx" in endpoints["bad"]["blue"]["reason"]


def test_check_scores_the_example_of_every_model(tmp_path: Path) -> None:
    done = lockgate("check", MODEL, cwd=tmp_path)

    assert done.returncode == 0
    assert all(word in done.stdout for word in (NAME, "ONNX Runtime", "probability, label", "ok"))


def test_check_names_what_does_not_load_and_fails(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"this is no model")
    done = lockgate("check", "broken.onnx", cwd=tmp_path)

    assert done.returncode == 1
    assert "broken/blue: " in done.stdout
