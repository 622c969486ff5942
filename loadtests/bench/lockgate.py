"""
Starts Lockgate as its users do, ``lockgate serve FOLDER``, with TLS and its generated key, one gateway process.

On one core everything shares it. On two, Lockgate's own core plan puts the gateway on the first and the workers on the
second.
"""

from __future__ import annotations

import http.client
import ssl
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import grpc

from loadtests.bench import h2load, wrk
from loadtests.bench.cpu import descendants
from loadtests.bench.grpc_call import INFER, infer_once
from loadtests.bench.load import Request
from loadtests.bench.requests import diamond_json, mlp_json, mlp_protobuf
from loadtests.bench.server import Server, free_port
from loadtests.bench.target import Target

__all__ = ["Lockgate", "role_of"]

START_SECONDS = 120.0


class Lockgate:
    """One running ``lockgate serve``. Raises ``ServerFailed`` when it does not get ready."""

    def __init__(self, stack: ExitStack, folder: Path, *, cores: Sequence[int], logs: Path) -> None:
        self._state = logs / f"{folder.name}-state"
        self._port, self._grpc_port, self._admin_port = free_port(), free_port(), free_port()
        argv = [sys.executable, "-m", "gateway", "serve", str(folder), "--state-dir", str(self._state)]
        argv += ["--host", "127.0.0.1", "--port", str(self._port), "--grpc-port", str(self._grpc_port)]
        argv += ["--admin-port", str(self._admin_port), "--gateways", "1"]
        self._server = stack.enter_context(Server("lockgate", argv, cores=cores, log=logs / f"{folder.name}.log"))
        self._server.wait_until(self._is_ready, START_SECONDS)
        self._headers = {"authorization": f"Bearer {(self._state / 'demo.key').read_text().strip()}"}

    @property
    def port(self) -> int:
        """Of HTTP/1.1 and HTTP/2."""
        return self._port

    @property
    def ca_file(self) -> Path:
        return self._state / "ca.pem"

    def roles(self) -> Mapping[str, Sequence[int]]:
        """Gateway, workers and supervisor."""
        found: dict[str, list[int]] = {"gateway": [], "worker": [], "supervisor": [self._server.pid]}
        for pid in descendants(self._server.pid):
            role = role_of(Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0"))
            found.setdefault(role, []).append(pid)
        return found

    def rest_infer(self, group: str, load_core: int) -> Target:
        """The ONNX model over the Open Inference Protocol's REST form."""
        request = self._request("/v2/models/mlp/infer", mlp_json())
        return self._rest(group, request, load_core)

    def rest_score(self, group: str, endpoint: str, load_core: int) -> Target:
        """An R model over ``/score``."""
        return self._rest(group, self.score_request(endpoint), load_core)

    def score_request(self, endpoint: str) -> Request:
        return self._request(f"/api/v1/endpoint/{endpoint}/score", diamond_json())

    def grpc_infer(self, group: str, load_core: int) -> Target:
        """The ONNX model over gRPC."""
        credentials = grpc.ssl_channel_credentials(self.ca_file.read_bytes())
        with grpc.secure_channel(f"127.0.0.1:{self._grpc_port}", credentials) as channel:
            answer = infer_once(channel, timeout=30, metadata=self._headers)
        request = Request(
            url=f"https://127.0.0.1:{self._grpc_port}{INFER}",
            body=h2load.framed(mlp_protobuf()),
            headers=self._headers,
            answer_bytes=len(h2load.framed(answer)),
        )
        return Target(
            group=group, server="lockgate", request=request, generate=h2load.run, load_core=load_core, roles=self.roles
        )

    def tls(self) -> ssl.SSLContext:
        """A client context that trusts this server."""
        return ssl.create_default_context(cafile=self.ca_file)

    def _request(self, path: str, body: bytes) -> Request:
        return Request(url=f"https://127.0.0.1:{self._port}{path}", body=body, headers=self._headers)

    def _rest(self, group: str, request: Request, load_core: int) -> Target:
        return Target(
            group=group, server="lockgate", request=request, generate=wrk.run, load_core=load_core, roles=self.roles
        )

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._admin_port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (ConnectionError, TimeoutError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def role_of(argv: Sequence[str]) -> str:
    """By the module that a process runs: ``python -m workers …`` or ``python -m gateway gateway …``."""
    module = argv[argv.index("-m") + 1] if "-m" in argv[:-1] else ""
    return {"workers": "worker", "gateway": "gateway"}.get(module, "other")
