"""What is served is changed on the real server: by the commands, by Triton's calls, and by who may."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from gateway.wire.v1 import grpc_service_pb2 as pb
from gateway.wire.v1.grpc_service_pb2_grpc import GRPCInferenceServiceStub
from tests.support.admin import Admin
from tests.support.https import Https
from tests.support.stack import PATIENCE, Stack, run_lockgate, serving
from tests.support.versions import Versions, body


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Versions:
    made = Versions(tmp_path_factory.mktemp("desired") / "served")
    made.endpoint("sum", {"blue": made.onnx(1000), "green": made.onnx(2000)}, traffic={"blue": 100, "green": 0})
    made.endpoint("other", {"blue": made.onnx(7)})
    return made


@pytest.fixture(scope="module")
def stack(folder: Versions, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with serving(folder.root, tmp_path_factory.mktemp("state"), expected=("bad/model.onnx",)) as one:
        yield one


def lockgate(stack: Stack, *words: str) -> tuple[int, str]:
    """A command, and all that it printed."""
    done = run_lockgate(*words, "--admin-port", str(stack.admin_port), "--state-dir", str(stack.state))
    return done.returncode, done.stdout + done.stderr


def asked(stack: Stack, endpoint: str, key: str | None = None) -> tuple[int, Any]:
    with Https(stack) as https:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        reply = https.post(f"/api/v1/endpoint/{endpoint}/score", body(1.0), headers)
    return reply.status, reply.json


def repository(stack: Stack, verb: str, model: str, key: str) -> tuple[int, Any]:
    with Https(stack) as https:
        headers = {"Authorization": f"Bearer {key}"}
        reply = https.post(f"/v2/repository/models/{model}/{verb}", b"", headers)
    return reply.status, reply.json


def admin_key(stack: Stack) -> str:
    return (stack.state / "admin.key").read_text().strip()


def test_weights_are_changed_by_a_command_that_returns_when_they_count(stack: Stack) -> None:
    before = asked(stack, "sum")
    code, told = lockgate(stack, "traffic", "sum", "green=100")
    after = asked(stack, "sum")
    lockgate(stack, "traffic", "sum", "blue=100")

    assert (before, code, after) == ((200, [1001.0]), 0, (200, [2001.0])), told


def test_a_file_is_applied_and_taken_back(stack: Stack, folder: Versions, tmp_path: Path) -> None:
    new = tmp_path / "new.yaml"
    new.write_text(json.dumps({"name": "new", "deployments": {"blue": {"model": str(folder.onnx(50)), "workers": 1}}}))
    applied = lockgate(stack, "apply", "-f", str(new))
    answer = asked(stack, "new")
    shown = lockgate(stack, "status")
    back = lockgate(stack, "rollback", "--last")

    assert (applied[0], answer, back[0]) == (0, (200, [51.0]), 0), (applied, back)
    assert "new/blue" in shown[1]
    assert asked(stack, "new")[0] == 404
    assert not (folder.root / "endpoints" / "new.yaml").exists()


def test_a_model_that_does_not_load_is_1_on_the_command_line_and_the_old_one_serves(
    stack: Stack, folder: Versions, tmp_path: Path
) -> None:
    bad = folder.onnx(9, name="bad")
    (bad / "model.onnx").write_bytes(b"nonsense")
    file = tmp_path / "sum.yaml"
    file.write_text(json.dumps({"name": "sum", "deployments": {"blue": {"model": str(bad), "workers": 1}}}))
    applied = lockgate(stack, "apply", "-f", str(file))
    status = lockgate(stack, "status")
    answer = asked(stack, "sum")
    back = lockgate(stack, "rollback", "--last")
    well = lockgate(stack, "status")

    assert (applied[0], status[0], answer, back[0], well[0]) == (1, 1, (200, [1001.0]), 0, 0), (applied, back)
    assert "bad/model.onnx" in applied[1]
    assert "was refused" in status[1]


def test_a_model_is_unloaded_and_loaded_over_http(stack: Stack) -> None:
    key = admin_key(stack)
    gone = repository(stack, "unload", "other", key)
    refused = asked(stack, "other")
    forbidden = repository(stack, "load", "other", stack.key)
    back = repository(stack, "load", "other", key)

    assert (gone, back) == ((200, {"name": "other", "unload": True}), (200, {"name": "other", "load": True}))
    assert (refused[0], refused[1]["error"]["message"]) == (503, 'endpoint "other" is unloaded')
    assert forbidden[0] == 403
    assert asked(stack, "other") == (200, [8.0])


def test_a_model_is_unloaded_and_loaded_over_grpc(stack: Stack) -> None:
    credentials = grpc.ssl_channel_credentials(stack.ca.read_bytes())
    metadata = [("authorization", f"Bearer {admin_key(stack)}")]
    with grpc.secure_channel(stack.grpc_target, credentials) as channel:
        stub: Any = GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
        stub.RepositoryModelUnload(
            pb.RepositoryModelUnloadRequest(model_name="other"), metadata=metadata, timeout=PATIENCE
        )
        index = stub.RepositoryIndex(pb.RepositoryIndexRequest(), metadata=metadata, timeout=PATIENCE)
        ready = stub.ServerReady(pb.ServerReadyRequest(), timeout=PATIENCE).ready
        stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="other"), metadata=metadata, timeout=PATIENCE)
        extensions = stub.ServerMetadata(pb.ServerMetadataRequest(), timeout=PATIENCE).extensions

    assert {(model.name, model.state) for model in index.models} >= {("other", "UNAVAILABLE"), ("sum", "READY")}
    assert ready
    assert "model_repository" in extensions
    assert asked(stack, "other") == (200, [8.0])


def test_who_deploys_one_endpoint_deploys_no_other(stack: Stack) -> None:
    admin = Admin(stack)
    _, made = admin.ask("POST", "/keys", {"name": "ci", "roles": ["deploy"], "endpoints": ["sum"]})
    own = repository(stack, "load", "sum", made["key"])
    other = repository(stack, "unload", "other", made["key"])

    assert (own[0], other[0]) == (200, 403)
    assert asked(stack, "other") == (200, [8.0])
