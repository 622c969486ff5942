"""TLS for the public listeners: 1.2 or newer, HTTP/1.1 or also HTTP/2 by ALPN, Python's own choice of ciphers else."""

from __future__ import annotations

import ssl
from pathlib import Path

from gateway.core.errors import ConfigError

__all__ = ["server_context"]


def server_context(certificate: Path, key: Path, *, http2: bool = False) -> ssl.SSLContext:
    """
    ``certificate`` holds the chain, leaf first, in PEM; ``http2`` offers it, before HTTP/1.1.

    Raises ``ConfigError`` naming the file.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
    for path in (certificate, key):
        if not path.is_file():
            raise ConfigError(str(path), "expected a file in PEM format, there is none")
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ConfigError(str(certificate), f"expected a certificate that belongs to {key}: {error}") from error
    return context


def _no_password() -> str:
    """Without this OpenSSL would ask on the terminal for an encrypted key's password."""
    raise ValueError("the key is encrypted; expected one without a password")
