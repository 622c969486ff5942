"""
TLS for the public listeners: 1.2 or newer, HTTP/1.1 or also HTTP/2 by ALPN, session tickets, client certificates.

With TLS 1.2 only suites with forward secrecy (ECDHE) and authenticated encryption (AEAD); all of TLS 1.3's have both.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from gateway.core.errors import ConfigError

__all__ = ["HTTP1", "HTTP2", "ClientAuth", "RenewedContext", "TlsConfig", "server_context"]

ClientAuth: TypeAlias = Literal["none", "optional", "required"]

HTTP1 = ("http/1.1",)
HTTP2 = ("h2", *HTTP1)
"""What a port offers by ALPN, best first."""

_TLS_1_2_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_VERIFY = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


class TlsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose certificate is shown, and which ones are asked for. Files are in PEM and watched for changes."""

    certificate: Path | None = None
    """The server's chain, leaf first; without one the state directory's development certificate is shown."""
    key: Path | None = None
    """The leaf's private key, not encrypted."""
    client_ca: Path | None = None
    """The authorities that sign clients' certificates."""
    client_auth: ClientAuth = "none"
    """Whether callers may or must show a certificate. A wrong one ends the handshake in either case."""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate: expected certificate and key together, or neither")
        if self.client_auth != "none" and self.client_ca is None:
            raise ValueError(
                f"client_ca: expected the authority of the certificates for client_auth {self.client_auth}"
            )
        if self.client_auth == "none" and self.client_ca is not None:
            raise ValueError("client_auth: expected optional or required where there is a client_ca")


class RenewedContext(ssl.SSLContext):
    """
    What a listener holds on to: each handshake is made by the context that was installed last.

    A context in use is never changed, because that leaves things behind: the certificate of another kind of key,
    authorities that are not trusted any more, tickets for those whom they vouched for.
    """

    _installed: ssl.SSLContext
    _alpn: tuple[str, ...]

    def __new__(cls, first: ssl.SSLContext, alpn: tuple[str, ...]) -> RenewedContext:  # noqa: ARG004
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, first: ssl.SSLContext, alpn: tuple[str, ...]) -> None:
        self._alpn = alpn
        self.install(first)

    def install(self, context: ssl.SSLContext) -> None:
        """For handshakes that begin from now on."""
        context.set_alpn_protocols(self._alpn)
        self._installed = context
        self.verify_mode = context.verify_mode

    def set_alpn_protocols(self, alpn_protocols: Any) -> None:
        """Of this and all later contexts."""
        self._alpn = tuple(alpn_protocols)
        self._installed.set_alpn_protocols(self._alpn)

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
        """What event loops call once per connection."""
        return self._installed.wrap_bio(*arguments, **named)

    def wrap_socket(self, *arguments: Any, **named: Any) -> ssl.SSLSocket:
        return self._installed.wrap_socket(*arguments, **named)


def server_context(
    certificate: Path,
    key: Path,
    *,
    http2: bool = False,
    client_ca: Path | None = None,
    client_auth: ClientAuth = "none",
) -> ssl.SSLContext:
    """
    ``certificate`` holds the chain, leaf first, in PEM; ``http2`` offers it, before HTTP/1.1.

    Raises ``ConfigError`` naming the file.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_TLS_1_2_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(HTTP2 if http2 else HTTP1)
    for path in (certificate, key, *([client_ca] if client_ca else [])):
        _refuse_unreadable(path)
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ConfigError(str(certificate), f"expected a certificate that belongs to {key}: {error}") from error
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except (ssl.SSLError, OSError) as error:
            raise ConfigError(str(client_ca), f"expected certificates of authorities: {error}") from error
    context.verify_mode = _VERIFY[client_auth]
    return context


def _refuse_unreadable(path: Path) -> None:
    """Because OpenSSL would not say which file it is about."""
    try:
        path.open("rb").close()
    except FileNotFoundError as error:
        raise ConfigError(str(path), "expected a file in PEM format, there is none") from error
    except OSError as error:
        raise ConfigError(str(path), f"expected a file in PEM format: {error.strerror}") from error


def _no_password() -> str:
    """Without this OpenSSL would ask on the terminal for an encrypted key's password."""
    raise ValueError("the key is encrypted; expected one without a password")
