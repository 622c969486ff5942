"""
The same certificates for grpcio's engine, which does TLS by itself: it asks for them before each handshake.

It knows no optional client certificates: it asks for none, or insists on one.
"""

from __future__ import annotations

import grpc

from gateway.core.errors import ConfigError
from gateway.edge.tls_reload import Certificates, Material

__all__ = ["server_credentials"]


def server_credentials(certificates: Certificates) -> grpc.ServerCredentials:
    """Follow ``certificates``. Raises ``ConfigError`` where grpcio cannot do what is asked."""
    if certificates.client_auth == "optional":
        raise ConfigError("edge.tls.client_auth", "expected none or required, because edge.grpc_engine is grpcio")
    handed_out = certificates.current

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        """Called on a thread of gRPC's; None for no change."""
        nonlocal handed_out
        current = certificates.current
        if current is handed_out:
            return None
        handed_out = current
        return _configuration(current)

    is_required = certificates.client_auth == "required"
    return grpc.dynamic_ssl_server_credentials(
        _configuration(handed_out),
        fetch,  # type: ignore[arg-type]  # None is what its documentation asks for
        is_required,
    )


def _configuration(material: Material) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(material.key, material.certificate)], material.client_ca)
