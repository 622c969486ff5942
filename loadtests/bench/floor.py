"""Starts the floor (floor_gateway.py), the yardstick for figures in milliseconds, with Lockgate's TLS and key."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import grpc

from gateway.auth.bootstrap import StateFiles
from loadtests.bench import h2load
from loadtests.bench.grpc_call import INFER, call_once
from loadtests.bench.load import Request
from loadtests.bench.requests import mlp_protobuf
from loadtests.bench.server import Server, free_port
from loadtests.bench.target import Generator, Target

__all__ = ["FLOOR_MODEL", "Floor"]

FLOOR_MODEL = "mlp"
"""The one that it can serve: one tensor in and one out."""

START_SECONDS = 30.0


class Floor:
    """Gateway and worker, each on its core, with the certificate and the key of ``files``. Raises ``ServerFailed``."""

    def __init__(
        self, stack: ExitStack, files: StateFiles, model: Path, *, gateway_core: int, worker_core: int, logs: Path
    ) -> None:
        self._files, self._port, path = files, free_port(), logs / "floor.sock"
        module = [sys.executable, "-m"]
        worker = [*module, "loadtests.bench.floor_worker", str(path), str(model)]
        gateway = [*module, "loadtests.bench.floor_gateway", str(self._port), str(files.certificate)]
        gateway += [str(files.private_key), str(files.demo_key), str(path)]
        self._worker = stack.enter_context(
            Server("the floor's worker", worker, cores=[worker_core], log=logs / "floor-worker.log")
        )
        self._worker.wait_until(lambda: _listens(socket.AF_UNIX, str(path)), START_SECONDS)
        self._gateway = stack.enter_context(
            Server("the floor's gateway", gateway, cores=[gateway_core], log=logs / "floor-gateway.log")
        )
        self._gateway.wait_until(lambda: _listens(socket.AF_INET, ("127.0.0.1", self._port)), START_SECONDS)

    def roles(self) -> Mapping[str, Sequence[int]]:
        return {"gateway": [self._gateway.pid], "worker": [self._worker.pid]}

    def grpc_infer(self, group: str, load_core: int, generate: Generator = h2load.run) -> Target:
        """The row of the bench."""
        message = mlp_protobuf()
        request = Request(
            url=f"https://127.0.0.1:{self._port}{INFER}",
            body=h2load.framed(message),
            headers=self._headers(),
            answer_bytes=len(h2load.framed(self.grpc_answer(message))),
        )
        return Target(
            group=group, server="floor", request=request, generate=generate, load_core=load_core, roles=self.roles
        )

    def grpc_answer(self, message: bytes) -> bytes:
        """Raises ``grpc.RpcError``."""
        credentials = grpc.ssl_channel_credentials(self._files.ca.read_bytes())
        with grpc.secure_channel(f"127.0.0.1:{self._port}", credentials) as channel:
            return call_once(channel, message, timeout=30, metadata=self._headers())

    def _headers(self) -> Mapping[str, str]:
        return {"authorization": f"Bearer {self._files.demo_key.read_text().strip()}"}


def _listens(family: socket.AddressFamily, address: str | tuple[str, int]) -> bool:
    with socket.socket(family) as asked:
        return asked.connect_ex(address) == 0
