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
from urllib.parse import urlsplit

import grpc

from gateway.auth.bootstrap import StateFiles
from loadtests.bench import h2load, wrk
from loadtests.bench.cpu import descendants
from loadtests.bench.grpc_call import INFER, call_once
from loadtests.bench.load import Request
from loadtests.bench.progress import StatusPage
from loadtests.bench.requests import diamond_json, infer_json, infer_protobuf, rows_of
from loadtests.bench.server import Server, ServerFailed, free_port
from loadtests.bench.target import Generator, Target

__all__ = ["Lockgate", "role_of"]

START_SECONDS = 120.0


class Lockgate:
    """One running ``lockgate serve``. Raises ``ServerFailed`` when it does not get ready."""

    def __init__(self, stack: ExitStack, folder: Path, *, cores: Sequence[int], logs: Path) -> None:
        self.state = StateFiles(logs / f"{folder.name}-state")
        """Its certificate and its keys."""
        self._port, self._grpc_port, self._admin_port = free_port(), free_port(), free_port()
        argv = [sys.executable, "-m", "gateway", "serve", str(folder), "--state-dir", str(self.state.root)]
        argv += ["--host", "127.0.0.1", "--port", str(self._port), "--grpc-port", str(self._grpc_port)]
        argv += ["--admin-port", str(self._admin_port), "--gateways", "1"]
        self.log = logs / f"{folder.name}.log"
        """Its events, as JSON lines."""
        self._server = stack.enter_context(Server("lockgate", argv, cores=cores, log=self.log))
        self._server.wait_until(self._is_ready, START_SECONDS)
        self._headers = {"authorization": f"Bearer {self.state.demo_key.read_text().strip()}"}

    @property
    def port(self) -> int:
        """Of HTTP/1.1 and HTTP/2."""
        return self._port

    @property
    def ca_file(self) -> Path:
        return self.state.ca

    def status_page(self) -> StatusPage:
        return StatusPage(self._admin_port, self.state.admin_key)

    def roles(self) -> Mapping[str, Sequence[int]]:
        """Gateway, workers and supervisor."""
        found: dict[str, list[int]] = {"gateway": [], "worker": [], "supervisor": [self._server.pid]}
        for pid in descendants(self._server.pid):
            role = role_of(Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0"))
            found.setdefault(role, []).append(pid)
        return found

    def workers_of(self, deployment: str) -> Sequence[int]:
        """Processes of ``endpoint/deployment``."""
        name = f'"name":"{deployment}/'.encode()
        return [pid for pid in self.roles()["worker"] if name in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def metrics(self) -> str:
        """What a scrape of all gateways gets."""
        connection = http.client.HTTPConnection("127.0.0.1", self._admin_port, timeout=10)
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def rest_infer(self, group: str, load_core: int, model: str = "mlp") -> Target:
        """An ONNX model over the Open Inference Protocol's REST form."""
        return self._rest(group, self.rest_request(model, infer_json(rows_of(model)[0])), load_core)

    def rest_request(self, model: str, body: bytes) -> Request:
        return self._request(f"/v2/models/{model}/infer", body)

    def rest_answer(self, model: str, body: bytes) -> bytes:
        """Raises ``ServerFailed`` for any answer but 200."""
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=10, context=self.tls())
        try:
            request = self.rest_request(model, body)
            headers = {"Content-Type": "application/json", **request.headers}
            connection.request("POST", urlsplit(request.url).path, body, headers)
            answer = connection.getresponse()
            found = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise ServerFailed(f"lockgate answered {answer.status}: {found!r}")
        return found

    def rest_score(self, group: str, endpoint: str, load_core: int) -> Target:
        """An R model over ``/score``."""
        return self._rest(group, self.score_request(endpoint), load_core)

    def score_request(self, endpoint: str) -> Request:
        return self._request(f"/api/v1/endpoint/{endpoint}/score", diamond_json())

    def grpc_infer(self, group: str, load_core: int, model: str = "mlp", generate: Generator = h2load.run) -> Target:
        """An ONNX model over gRPC."""
        request = self.grpc_request(infer_protobuf(model, rows_of(model)[0]))
        return Target(
            group=group, server="lockgate", request=request, generate=generate, load_core=load_core, roles=self.roles
        )

    def grpc_request(self, message: bytes) -> Request:
        """Any ``ModelInferRequest``, as it lies in the stream."""
        return Request(
            url=f"https://127.0.0.1:{self._grpc_port}{INFER}",
            body=h2load.framed(message),
            headers=self._headers,
            answer_bytes=len(h2load.framed(self.grpc_answer(message))),
        )

    def grpc_answer(self, message: bytes) -> bytes:
        """Raises ``grpc.RpcError``."""
        credentials = grpc.ssl_channel_credentials(self.ca_file.read_bytes())
        with grpc.secure_channel(f"127.0.0.1:{self._grpc_port}", credentials) as channel:
            return call_once(channel, message, timeout=30, metadata=self._headers)

    def tls(self, protocol: str = "http/1.1") -> ssl.SSLContext:
        """A client context that trusts this server and offers ``protocol``."""
        context = ssl.create_default_context(cafile=self.ca_file)
        context.set_alpn_protocols([protocol])
        return context

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
