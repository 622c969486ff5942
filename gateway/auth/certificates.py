"""
Making certificates: a certificate authority, and the pairs that it signs.

For development and for links between machines of one's own; it is no public key infrastructure. All keys are on the
curve P-256. What is made passes the strict checks of RFC 5280 that newer clients make, and lives no longer than
browsers accept from anybody. A private key is in no text form here but the one that is written to its file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from gateway.core.errors import ConfigError

__all__ = ["LIFE", "Authority", "Pair", "Use", "alternative_name", "write_whole"]

LIFE = timedelta(days=397)
"""The longest that browsers accept from any CA."""
_SKEW = timedelta(hours=1)
"""Clients whose clock is a little behind."""
_PEM = serialization.Encoding.PEM


class Use(Enum):
    """What the holder of a certificate proves with it; nobody takes it for anything else."""

    SERVER = ExtendedKeyUsageOID.SERVER_AUTH
    CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, both in PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


class Authority:
    """Signs certificates. Whoever has its key can be anybody for those who trust it, so it is best forgotten."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate, self._key = certificate, key

    @classmethod
    def make(cls, name: str, now: datetime, life: timedelta = LIFE) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _named(name)
        certificate = (
            _builder(subject, subject, key.public_key(), now, now + life)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @classmethod
    def read(cls, certificate: Path, key: Path) -> Authority:
        """Raises ``ConfigError`` naming the file."""
        try:
            own = x509.load_pem_x509_certificate(certificate.read_bytes())
            private = serialization.load_pem_private_key(key.read_bytes(), None)
        except FileNotFoundError as error:
            raise ConfigError(error.filename, "expected a file in PEM format, there is none") from error
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(f"{certificate}, {key}", "expected a CA's certificate and its unencrypted key") from error
        if not isinstance(private, ec.EllipticCurvePrivateKey) or private.public_key() != own.public_key():
            raise ConfigError(str(key), f"expected the key of {certificate}, as `lockgate certs ca` makes it")
        return cls(own, private)

    @property
    def certificate(self) -> bytes:
        """What others need, to trust everything that was signed here; in PEM."""
        return self._certificate.public_bytes(_PEM)

    @property
    def key(self) -> bytes:
        """In PEM, for whoever means to sign more later."""
        return _private(self._key)

    def issue(
        self, name: str, alternatives: Sequence[x509.GeneralName], use: Use, now: datetime, life: timedelta = LIFE
    ) -> Pair:
        """A new pair for ``use``; it ends with the authority at the latest."""
        key = ec.generate_private_key(ec.SECP256R1())
        end = min(now + life, self._certificate.not_valid_after_utc)
        oid: ObjectIdentifier = use.value
        builder = (
            _builder(_named(name), self._certificate.subject, key.public_key(), now, end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([oid]), critical=False)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return Pair(builder.sign(self._key, hashes.SHA256()).public_bytes(_PEM), _private(key))


def alternative_name(text: str) -> x509.GeneralName:
    """An IP address, a URI, an e-mail address or else a DNS name. Raises ``ValueError``."""
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        pass
    if "://" in text:
        return x509.UniformResourceIdentifier(text)
    if "@" in text:
        return x509.RFC822Name(text)
    if not text or any(character.isspace() or character in "/:" for character in text):
        raise ValueError(f'expected a DNS name, an IP address, a URI or an e-mail address, got "{text}"')
    return x509.DNSName(text)


def write_whole(path: Path, data: bytes, mode: int) -> None:
    """Whole or not at all, and never readable by others in between."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    partial.replace(path)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
