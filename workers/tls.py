"""
Mutual TLS of the link between gateways and workers on other machines: both ends of it.

A private authority signs everybody's certificate, and nobody without one gets as far as a first byte: whoever reaches a
worker's port could otherwise score, and have it drain. Connections are few and long, so nothing watches the files: they
are looked at whenever a connection is made, and what is new and good is used from that one on.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import structlog

__all__ = ["LinkContext", "LinkFiles", "LinkTlsError"]

log = structlog.get_logger()

_ALPN = ("h2",)
_TLS_1_2_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_Stamp: TypeAlias = tuple[tuple[int, ...] | None, ...]


class LinkTlsError(Exception):
    """The files cannot be used; the text names the file."""


@dataclass(frozen=True, slots=True)
class LinkFiles:
    """In PEM; the key without a password."""

    ca: Path
    """Who signs the certificates of the other end; nobody else is believed."""
    certificate: Path
    key: Path


class LinkContext(ssl.SSLContext):
    """
    One end of the link: makes each connection with what the files hold then.

    ``server_name`` is for a gateway, and what workers' certificates say where that is not their address. Raises
    ``LinkTlsError``.
    """

    _files: LinkFiles
    _is_server: bool
    _server_name: str
    _seen: _Stamp
    _made: ssl.SSLContext

    def __new__(cls, files: LinkFiles, *, is_server: bool, server_name: str = "") -> LinkContext:  # noqa: ARG004
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, files: LinkFiles, *, is_server: bool, server_name: str = "") -> None:
        self._files, self._is_server, self._server_name = files, is_server, server_name
        self._seen = _stamp(files)
        self._made = _context(files, is_server=is_server)
        self.verify_mode = ssl.CERT_REQUIRED  # as that of every context that is made

    def set_alpn_protocols(self, alpn_protocols: Any) -> None:
        """The link speaks HTTP/2, whatever anybody asks for."""

    def wrap_bio(
        self, incoming: Any, outgoing: Any, server_side: bool = False, server_hostname: Any = None, session: Any = None
    ) -> ssl.SSLObject:
        """What event loops call once per connection."""
        self._look()
        name = self._server_name or server_hostname
        return self._made.wrap_bio(incoming, outgoing, server_side, name, session)

    def _look(self) -> None:
        stamp = _stamp(self._files)
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._made = _context(self._files, is_server=self._is_server)
        except LinkTlsError as error:
            log.warning("link.certificate_refused", reason=str(error))
        else:
            log.info("link.certificate_reloaded", certificate=str(self._files.certificate))


def _context(files: LinkFiles, *, is_server: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_TLS_1_2_CIPHERS)
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(_ALPN)
    for path in (files.ca, files.certificate, files.key):
        try:
            path.open("rb").close()  # because OpenSSL would not say which file it is about
        except OSError as error:
            raise LinkTlsError(f"{path}: expected a file in PEM format: {error.strerror}") from error
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise LinkTlsError(
            f"{files.certificate}: expected a certificate that belongs to {files.key}: {error}"
        ) from error
    try:
        context.load_verify_locations(files.ca)
    except (ssl.SSLError, OSError) as error:
        raise LinkTlsError(f"{files.ca}: expected certificates of authorities: {error}") from error
    return context


def _no_password() -> str:
    """Without this OpenSSL would ask on the terminal for an encrypted key's password."""
    raise ValueError("the key is encrypted; expected one without a password")


def _stamp(files: LinkFiles) -> _Stamp:
    """Differs when a file does, also behind a symbolic link."""
    return tuple(_of(path) for path in (files.ca, files.certificate, files.key))


def _of(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
