"""Who is at the other end of a transport, in the words of grpcio's context."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote

__all__ = ["auth_context", "peer_name"]

_CLEAR: Final[Mapping[str, Sequence[bytes]]] = {}
_SECURE: Final[Mapping[str, Sequence[bytes]]] = {"transport_security_type": [b"ssl"]}
"""Shared by all connections without a certificate."""


def peer_name(transport: asyncio.BaseTransport) -> str:
    """``ipv4:10.0.0.7:51234``, ``ipv6:%5B::1%5D:51234`` or ``unix:``."""
    address = transport.get_extra_info("peername")
    if isinstance(address, tuple) and len(address) == 2:
        return f"ipv4:{address[0]}:{address[1]}"
    if isinstance(address, tuple):
        return f"ipv6:{quote(f'[{address[0]}]', safe=':')}:{address[1]}"
    return f"unix:{address or ''}"


def auth_context(transport: asyncio.BaseTransport) -> Mapping[str, Sequence[bytes]]:
    """What TLS knows; the certificate's names only if it was asked for and checked."""
    tls = transport.get_extra_info("ssl_object")
    if tls is None:
        return _CLEAR
    certificate = tls.getpeercert()
    if not certificate:
        return _SECURE
    context: dict[str, Sequence[bytes]] = dict(_SECURE)
    names = [name.encode() for rdn in certificate.get("subject", ()) for key, name in rdn if key == "commonName"]
    if names:
        context["x509_common_name"] = names
    others = [str(name).encode() for _, name in certificate.get("subjectAltName", ())]
    if others:
        context["x509_subject_alternative_name"] = others
    if der := tls.getpeercert(binary_form=True):
        context["x509_pem_cert"] = [ssl.DER_cert_to_PEM_cert(der).encode()]
    return context
