"""grpcio does TLS by itself: what it cannot do is refused, never left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.core.errors import ConfigError
from gateway.edge.tls import ClientAuth
from gateway.edge.tls_grpcio import server_credentials
from gateway.edge.tls_reload import Certificates
from tests.support.tls_files import ServerFiles


def test_optional_certificates_are_refused_with_the_reason(tmp_path: Path) -> None:
    certificates = Certificates(ServerFiles.made(tmp_path).with_clients, "optional")

    with pytest.raises(
        ConfigError, match=r"client_auth: expected none or required, because edge\.grpc_engine is grpcio"
    ):
        server_credentials(certificates)


@pytest.mark.parametrize("client_auth", ["none", "required"])
def test_the_others_are_taken(tmp_path: Path, client_auth: ClientAuth) -> None:
    server = ServerFiles.made(tmp_path)
    certificates = Certificates(server.files if client_auth == "none" else server.with_clients, client_auth)

    assert server_credentials(certificates)
