"""What ``lockgate serve`` says when it cannot serve: one line that names the mistake, and nothing is left running."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.https import Https
from tests.support.onnx_models import mlp
from tests.support.samples import EXAMPLES, expected, sample
from tests.support.stack import Stack, run_lockgate, serving, three_ports

USAGE = 2


def served(folder: Path, text: str = "", settings: str = "", **endpoint: Any) -> Path:
    """A folder with one endpoint, from the text of its file or from its keys."""
    (folder / "endpoints").mkdir(parents=True)
    mlp(folder / "model.onnx")
    document = {"name": "net", "deployments": {"blue": {"model": "../model.onnx"}}, **endpoint}
    (folder / "endpoints" / "net.yaml").write_text(text or json.dumps(document), encoding="utf-8")
    if settings:
        (folder / "lockgate.yaml").write_text(settings, encoding="utf-8")
    return folder


def serve(path: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """To its end, which comes by itself."""
    ports = ("--port", "--grpc-port", "--admin-port")
    given = [word for port in zip(ports, map(str, three_ports()), strict=True) for word in port]
    return run_lockgate("serve", str(path), "--state-dir", str(folder / "state"), *given, *arguments)


def left_running(folder: Path) -> list[str]:
    """Processes that were started for anything in this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            argv = (process / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(folder) in argv:
            found.append(argv.replace("\0", " "))
    return found


TWO = {"blue": {"model": "../model.onnx"}, "green": {"model": "../model.onnx"}}
MISTAKES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "YAML that is none": ({"text": "name: net\n  deployments: {"}, ["net.yaml", "line 2"]),
    "an unknown key": (
        {"text": "name: net\ndeployments:\n  blue: {model: ../model.onnx, worker: 2}\n"},
        ["net.yaml", "worker"],
    ),
    "a wrong type": ({"request_timeout_ms": "soon"}, ["net.yaml", "request_timeout_ms", "int"]),
    "weights of 97": (
        {"deployments": TWO, "traffic": {"blue": 90, "green": 7}},
        ["net.yaml", "expected a sum of 100, or 0, got 97"],
    ),
    "a weight for nobody": (
        {"deployments": TWO, "traffic": {"blue": 90, "red": 10}},
        ["net.yaml", '"red" is not one of the deployments blue, green'],
    ),
    "a model that is not there": (
        {"deployments": {"blue": {"model": "../nowhere.onnx"}}},
        ["net.yaml", "deployments.blue.model", "nowhere.onnx does not exist"],
    ),
    "a setting that is unknown": ({"settings": "gateway: 2\n"}, ["lockgate.yaml", "gateway"]),
    "a setting out of range": ({"settings": "gateways: 0\n"}, ["lockgate.yaml", "gateways: expected 1 to 64, got 0"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_that_names_it(tmp_path: Path, mistake: str) -> None:
    given, words = MISTAKES[mistake]
    done = serve(served(tmp_path / "served", **given), tmp_path)

    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert [word for word in words if word not in done.stderr] == [], done.stderr


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_an_exit_code_and_starts_nothing(tmp_path: Path, mistake: str) -> None:
    done = serve(served(tmp_path / "served", **MISTAKES[mistake][0]), tmp_path)

    assert done.returncode == USAGE
    assert left_running(tmp_path) == []


@contextmanager
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


@pytest.mark.parametrize("option", ["--port", "--grpc-port", "--admin-port"])
def test_a_port_that_is_taken_is_named_with_its_option(tmp_path: Path, option: str) -> None:
    with listening() as port:
        done = serve(served(tmp_path / "served"), tmp_path, option, str(port))

    assert (done.returncode, len(done.stderr.splitlines())) == (USAGE, 1)
    assert f"{option}: " in done.stderr
    assert f":{port} cannot be listened on: Address already in use" in done.stderr
    assert left_running(tmp_path) == []


def test_one_port_for_two_is_refused(tmp_path: Path) -> None:
    port = str(three_ports()[0])
    done = serve(served(tmp_path / "served"), tmp_path, "--port", port, "--grpc-port", port)

    assert done.returncode == USAGE
    assert done.stderr == f"lockgate: --grpc-port: port {port} is already that of --port\n"


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    done = serve(tmp_path / "nowhere", tmp_path)

    assert (done.returncode, done.stderr) == (USAGE, f"lockgate: {tmp_path / 'nowhere'}: no such file or folder\n")


def without_signature(folder: Path) -> Path:
    """The ranger forest of the examples, which holds no levels."""
    folder.mkdir()
    shutil.copy(EXAMPLES / "models" / "diamonds-ranger" / "model.rds", folder)
    return folder


def test_a_model_that_would_have_to_guess_ends_the_server_and_says_what_to_write(tmp_path: Path) -> None:
    done = serve(without_signature(tmp_path / "forest"), tmp_path)

    assert done.returncode == 1
    assert "no model could be loaded" in done.stdout
    assert "signature.json" in done.stdout
    assert left_running(tmp_path) == []


@pytest.fixture(scope="module")
def halved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two deployments of an endpoint, of which one loads, and an endpoint that does not load at all."""
    folder = tmp_path_factory.mktemp("halved")
    (folder / "served" / "endpoints").mkdir(parents=True)
    forest = str(without_signature(folder / "forest"))
    tumor = str(EXAMPLES / "models" / "tumor-boosting")
    for name, deployments, traffic in (
        ("tumor", {"blue": {"model": tumor}, "green": {"model": forest}}, {"blue": 100, "green": 0}),
        ("lost", {"blue": {"model": forest}}, {"blue": 100}),
    ):
        document = {"name": name, "deployments": deployments, "traffic": traffic}
        (folder / "served" / "endpoints" / f"{name}.yaml").write_text(json.dumps(document), encoding="utf-8")
    with serving(folder / "served", folder, expected=("workers.load_failed",)) as stack:
        yield stack


def test_what_loads_serves_although_another_does_not(halved: Stack) -> None:
    frame = sample("tumor").head(3)
    with Https(halved) as https:
        reply = https.post("/api/v1/endpoint/tumor/score", {"input_data": frame.records()})

    assert [record["label"] for record in reply.json] == expected("tumor", "green")["label"][:3]


@pytest.mark.parametrize(("endpoint", "deployment"), [("tumor", "green"), ("lost", "blue")])
def test_what_does_not_load_is_refused_until_it_does(halved: Stack, endpoint: str, deployment: str) -> None:
    frame = sample("tumor").head(1)
    with Https(halved) as https:
        reply = https.post(
            f"/api/v1/endpoint/{endpoint}/score",
            {"input_data": frame.records()},
            {"azureml-model-deployment": deployment},
        )

    assert (reply.status, reply.json["error"]["code"]) == (503, "NotReady")
    assert reply.json["error"]["message"] == (
        f'deployment "{deployment}" of endpoint "{endpoint}" has failed to load its model; the server\'s log says why'
    )


def test_readiness_tells_what_is_missing_and_why(halved: Stack) -> None:
    status, text = halved.ask_admin("/readyz")
    page = json.loads(text)

    assert (status, page["ready"]) == (503, False)
    assert page["endpoints"]["tumor"]["blue"]["ready"] is True
    assert "signature.json" in page["endpoints"]["tumor"]["green"]["reason"]
    assert "signature.json" in page["endpoints"]["lost"]["blue"]["reason"]


def test_the_banner_tells_what_is_missing_and_why(halved: Stack) -> None:
    told = [line for line in halved.lines if "NOT READY" in line]

    assert len(told) == 2
    assert all("signature.json" in line for line in told)
