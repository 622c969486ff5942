"""
Starts the peer for ONNX: Triton with the models in its Python backend and dynamic batching (triton_model.py).

Triton's binary comes inside the package ``nvidia-pytriton``, which has no other backend. It is run as it is, without
the package's own proxy, on one core, with one HTTP thread: that is what it does best with on one core. Batches take
what has queued while the model was busy and wait for nothing, the setting with which it is fastest.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import onnx

from loadtests.bench import h2load, wrk
from loadtests.bench.grpc_call import INFER, call_once
from loadtests.bench.layout import Layout
from loadtests.bench.load import Request
from loadtests.bench.requests import infer_json, infer_protobuf, rows_of
from loadtests.bench.server import Server, ServerFailed, free_port
from loadtests.bench.target import Target

__all__ = ["Triton", "model_config"]

MODEL = Path(__file__).with_name("triton_model.py")
START_SECONDS = 60.0
MAX_ROWS = 64
"""As Lockgate's deployments have it."""

WHERE = """
import importlib.util, json, sys
spec = importlib.util.find_spec("pytriton")
found = spec.submodule_search_locations[0] if spec and importlib.util.find_spec("onnxruntime") else ""
print(json.dumps([found, "%d.%d" % sys.version_info[:2]]))
"""

_TYPES: Mapping[int, str] = {onnx.TensorProto.FLOAT: "TYPE_FP32", onnx.TensorProto.STRING: "TYPE_STRING"}


@dataclass(frozen=True, slots=True)
class _Package:
    """``nvidia-pytriton`` as it is installed somewhere."""

    server: Path
    python_version: str

    @classmethod
    def of(cls, python: str) -> _Package:
        """Raises ``ServerFailed``."""
        done = subprocess.run([python, "-c", WHERE], capture_output=True, text=True, timeout=60, check=True)
        folder, version = json.loads(done.stdout)
        if not folder:
            raise ServerFailed(f"expected {python} to have nvidia-pytriton and onnxruntime")
        return cls(Path(folder, "tritonserver"), version)


class Triton:
    """One running ``tritonserver`` with these models. Raises ``ServerFailed``."""

    def __init__(self, stack: ExitStack, python: str, models: Mapping[str, Path], layout: Layout, logs: Path) -> None:
        package = _Package.of(python)
        root = logs / "triton"
        for name, path in models.items():
            _place(root / "models" / name, name, path)
        self._layout = layout
        self._port, self._grpc_port = free_port(), free_port()
        argv = [str(package.server / "bin" / "tritonserver"), f"--model-repository={root / 'models'}"]
        argv += [f"--backend-directory={_backends(package, root / 'backends')}", "--allow-metrics=false"]
        argv += ["--http-address=127.0.0.1", f"--http-port={self._port}", "--http-thread-count=1"]
        argv += ["--grpc-address=127.0.0.1", f"--grpc-port={self._grpc_port}"]
        # The backend's process finds the interpreter's packages by the first python3 on PATH.
        search = os.pathsep.join([str(Path(python).parent), os.environ.get("PATH", "")])
        self._server = stack.enter_context(
            Server("triton", argv, cores=[layout.server], log=logs / "triton.log", env={"PATH": search})
        )
        self._server.wait_until(self._is_ready, START_SECONDS)

    def rest_answer(self, model: str, body: bytes) -> bytes:
        """Raises ``ServerFailed`` for any answer but 200."""
        status, answer = self._ask("POST", f"/v2/models/{model}/infer", body)
        if status != 200:
            raise ServerFailed(f"triton answered {status}: {answer!r}")
        return answer

    def grpc_answer(self, message: bytes) -> bytes:
        """Raises ``grpc.RpcError``."""
        with grpc.insecure_channel(f"127.0.0.1:{self._grpc_port}") as channel:
            return call_once(channel, message, timeout=30)

    def rest(self, group: str, model: str) -> Target:
        row = rows_of(model)[0]
        request = Request(url=f"http://127.0.0.1:{self._port}/v2/models/{model}/infer", body=infer_json(row))
        return self._target(group, request, wrk.run)

    def grpc(self, group: str, model: str) -> Target:
        """All calls on one connection."""
        message = infer_protobuf(model, rows_of(model)[0])
        request = Request(
            url=f"http://127.0.0.1:{self._grpc_port}{INFER}",
            body=h2load.framed(message),
            answer_bytes=len(h2load.framed(self.grpc_answer(message))),
        )
        return self._target(group, request, h2load.run_on_one)

    def _target(self, group: str, request: Request, generate: Any) -> Target:
        return Target(
            group=group,
            server="triton",
            request=request,
            generate=generate,
            load_core=self._layout.load,
            roles=lambda: self._server.roles,
        )

    def _is_ready(self) -> bool:
        try:
            return self._ask("GET", "/v2/health/ready")[0] == 200
        except ConnectionRefusedError:
            return False

    def _ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def model_config(name: str, model: onnx.ModelProto, path: Path) -> str:
    """Triton's ``config.pbtxt`` for an ONNX model whose tensors all have rows as their first dimension."""
    lines = [f'name: "{name}"', 'backend: "python"', f"max_batch_size: {MAX_ROWS}"]
    lines += [f"input [ {_tensor(each)} ]" for each in model.graph.input]
    lines += [f"output [ {_tensor(each)} ]" for each in model.graph.output]
    lines += ["instance_group [ { kind: KIND_CPU count: 1 } ]"]
    lines += ["dynamic_batching { max_queue_delay_microseconds: 0 }"]
    lines += [f'parameters {{ key: "model" value {{ string_value: "{path}" }} }}']
    return "\n".join(lines) + "\n"


def _tensor(value: onnx.ValueInfoProto) -> str:
    kind = value.type.tensor_type
    dims: Sequence[int] = [each.dim_value for each in kind.shape.dim][1:]
    text = f'{{ name: "{value.name}" data_type: {_TYPES[kind.elem_type]}'
    # A tensor of one dimension, which counts rows, has none left, and Triton wants one to be named.
    return f"{text} dims: {list(dims)} }}" if dims else f"{text} dims: [1] reshape: {{ shape: [] }} }}"


def _place(folder: Path, name: str, path: Path) -> None:
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(model_config(name, onnx.load(str(path)), path))
    (folder / "1" / "model.py").symlink_to(MODEL)


def _backends(package: _Package, folder: Path) -> Path:
    """The package keeps the backend and its process for each version of Python apart; Triton wants them together."""
    python = folder / "python"
    python.mkdir(parents=True)
    stub = package.server / "python_backend_stubs" / package.python_version / "triton_python_backend_stub"
    if not stub.exists():
        raise ServerFailed(f"nvidia-pytriton has no Python backend for Python {package.python_version}")
    for file in (package.server / "backends" / "python").iterdir():
        (python / file.name).symlink_to(file)
    (python / stub.name).symlink_to(stub)
    return folder
