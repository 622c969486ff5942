"""
The certificate that the other end of a connection has shown, as the auth stage wants it.

It is taken off a connection once, and off a call in a dictionary look-up. Only a certificate that TLS has verified
counts: where the listener does not ask for one, there is none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from gateway.core.access import ClientCertificate

__all__ = ["certificate_in", "certificate_of"]

_KINDS = frozenset({"DNS", "URI", "email"})
_KEPT = 1024
"""Clients whose certificates are not put together anew for each of their calls."""


def certificate_of(transport: asyncio.BaseTransport) -> ClientCertificate | None:
    """Of a connection whose handshake is done."""
    tls = transport.get_extra_info("ssl_object")
    shown: Mapping[str, Any] | None = None if tls is None else tls.getpeercert()
    if not shown:
        return None
    subjects = [text for part in shown.get("subject", ()) for key, text in part if key == "commonName"]
    names = tuple(text for kind, text in shown.get("subjectAltName", ()) if kind in _KINDS)
    return ClientCertificate(subjects[0] if subjects else "", names)


def certificate_in(context: Mapping[str, Iterable[bytes]]) -> ClientCertificate | None:
    """Of a call, in the words of gRPC's ``auth_context``; the same as ``certificate_of`` its connection."""
    if "x509_pem_cert" not in context:
        return None
    names = context.get("x509_subject_alternative_name", ())
    return _put_together(tuple(context.get("x509_common_name", ())), tuple(names))


@lru_cache(maxsize=_KEPT)
def _put_together(subjects: tuple[bytes, ...], names: tuple[bytes, ...]) -> ClientCertificate:
    texts = [name.decode("utf-8", "replace") for name in names]
    subject = subjects[0].decode("utf-8", "replace") if subjects else ""
    return ClientCertificate(subject, tuple(text for text in texts if not _is_address(text)))


def _is_address(name: str) -> bool:
    """gRPC does not say which names are addresses."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
