"""Which gRPC engine a configuration gets."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import trustme
from structlog.testing import capture_logs

from gateway.core.bounds import INT32
from gateway.edge.config import EdgeConfig, GrpcEngineName
from gateway.edge.grpc_engine import GrpcEngine, grpc_server
from gateway.edge.tls_reload import Certificates, TlsFiles
from tests.support.oip_edge import exchange_of, servicer_of
from tests.support.oip_stack import OipStack


def made(folder: Path, engine: GrpcEngineName, max_body_bytes: int = 1_000_000) -> GrpcEngine:
    leaf = trustme.CA().issue_cert("localhost")
    chain, key = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(str(key))
    config = EdgeConfig(host="127.0.0.1", grpc_port=0, grpc_engine=engine, max_body_bytes=max_body_bytes)
    stack = OipStack()
    return grpc_server(config, servicer_of(stack), exchange_of(stack), Certificates(TlsFiles(chain, key)))


@pytest.mark.parametrize(("engine", "shares"), [("h2grpc", True), ("grpcio", False)])
async def test_only_h2grpc_takes_connections_of_another_port(
    tmp_path: Path, engine: GrpcEngineName, shares: bool
) -> None:
    server = made(tmp_path, engine)
    await server.start()
    await server.drain(0)

    assert (server.http2 is not None) == shares


@pytest.mark.parametrize("engine", ["h2grpc", "grpcio"])
async def test_the_largest_body_that_may_be_set_is_one_that_every_engine_can_take(
    tmp_path: Path, engine: GrpcEngineName
) -> None:
    server = made(tmp_path, engine, INT32)
    await server.start()
    await server.drain(0)

    assert server.port > 0


async def test_without_ngh2_grpcio_serves_and_says_so_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "gateway.edge.grpc_h2", raising=False)
    monkeypatch.setitem(sys.modules, "gateway.edge.grpc_h2", None)
    with capture_logs() as logs:
        server = made(tmp_path, "h2grpc")
    await server.start()
    await server.drain(0)

    assert server.http2 is None
    assert [entry["event"] for entry in logs] == ["edge.grpcio_instead_of_h2grpc"]
