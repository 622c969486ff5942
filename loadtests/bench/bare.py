"""Starts the two bare servers, the floors that Lockgate's own cost is compared with."""

from __future__ import annotations

import http.client
import sys
from contextlib import ExitStack
from pathlib import Path

import grpc

from loadtests.bench import h2load, wrk
from loadtests.bench.grpc_call import INFER, infer_once
from loadtests.bench.layout import Layout
from loadtests.bench.load import Request
from loadtests.bench.requests import mlp_json, mlp_protobuf
from loadtests.bench.server import Server, free_port
from loadtests.bench.target import Target

__all__ = ["bare_grpc", "bare_http"]

START_SECONDS = 30.0


def bare_http(stack: ExitStack, layout: Layout, logs: Path) -> Target:
    """aiohttp on the server's core, wrk on the load's."""
    port = free_port()
    argv = [sys.executable, "-m", "loadtests.bench.bare_http", str(port)]
    server = stack.enter_context(Server("bare", argv, cores=[layout.server], log=logs / "bare-http.log"))
    server.wait_until(lambda: _post(port, "/infer", mlp_json()) == 200, START_SECONDS)
    return Target(
        group="rest",
        server="bare",
        request=Request(url=f"http://127.0.0.1:{port}/infer", body=mlp_json()),
        generate=wrk.run,
        load_core=layout.load,
        roles=lambda: server.roles,
    )


def bare_grpc(stack: ExitStack, layout: Layout, logs: Path) -> Target:
    """grpc.aio on the server's core, h2load on the load's."""
    port = free_port()
    argv = [sys.executable, "-m", "loadtests.bench.bare_grpc", str(port)]
    server = stack.enter_context(Server("bare", argv, cores=[layout.server], log=logs / "bare-grpc.log"))
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        answer = infer_once(channel, timeout=START_SECONDS)
    return Target(
        group="grpc",
        server="bare",
        request=Request(
            url=f"http://127.0.0.1:{port}{INFER}",
            body=h2load.framed(mlp_protobuf()),
            answer_bytes=len(h2load.framed(answer)),
        ),
        generate=h2load.run,
        load_core=layout.load,
        roles=lambda: server.roles,
    )


def _post(port: int, path: str, body: bytes) -> int:
    """The status, or 0 while nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        return connection.getresponse().status
    except ConnectionRefusedError:
        return 0
    finally:
        connection.close()
